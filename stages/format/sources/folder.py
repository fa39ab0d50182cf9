"""Reads the raw folder of a data set: finds the files of a split, yields their rows, and accounts for every file."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.format.sources.columns import SUFFIXES, column_names, read_columns
from stages.format.sources.json_rows import MissingColumnError
from stages.hub.splits import Split, split_named, split_of
from stages.rows.dropping import as_mask
from stages.rows.parquet import one_array
from stages.runtime.errors import UserError

METADATA = {"manifest.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
DATA = re.compile(r".*\.(csv|tsv|jsonlines|sqlite|db|gz|tgz|tar|zip|bz2|xz|zst|7z|feather|orc|avro|xlsx|pkl|pickle)", re.IGNORECASE)
"""Names of files that likely hold rows but are not read; a warning names them."""
LOOKS_USED = re.compile(
    r"(?!.*[ _.-]ids?$)(.*[ _.-])?"
    r"(neg(ative)?s?|scores?|labels?|margin|similarity|relevance|irrelevant|split)(\d+|[ _.-].*)?",
    re.IGNORECASE,
)
"""Names of columns that look like negatives, scores, labels or splits."""


class RawFolder:
    """Reads the rows of a folder and records how each file was used.

    Attributes:
        path: the folder.
        scratch: where a kind may make temporary files as large as the set; None: the system's folder for such files.
    """

    def __init__(self, path: Path, scratch: Path | None = None) -> None:
        self.path = path
        self.scratch = scratch
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)  # by file
        self._left_out: dict[str, Counter[str]] = defaultdict(Counter)  # rows by file and reason
        self._reasons: dict[str, str] = {}  # why a file is not read, as its kind says
        self._warnings: dict[str, None] = {}  # an ordered set
        self._read_columns: set[str] = {"split"}

    def read_split(
        self,
        split: Split,
        required: Sequence[str],
        optional: Sequence[str] = (),
        lists: Collection[str] = (),
        as_is: Collection[str] = (),
        divide: Callable[[pa.Table], np.ndarray] | None = None,
        among: Collection[Path] | None = None,
        read: Callable[..., Iterator[pa.Table]] = read_columns,
    ) -> Iterator[tuple[Path, pa.Table]]:
        """Yield (file, some rows) for every file of a split, with the columns that `columns.read_columns` returns.

        A file belongs to the split in its name (``train-00000-of-00002.parquet``) or in the name of the nearest folder that has
        one. If there is none, each row's field ``split`` decides; if no file has a split in its name, rows without the field are
        training rows. In a file with a split in its name, rows whose field says another split are left out.

        Args:
            divide: returns which rows of a training file are dev rows, as a mask; dev files are then not read.
            among: the files to look at; None: all of `files`.
            read: reads a file in place of `columns.read_columns`, with its arguments.

        Raises:
            UserError: there is no training file, the split of a file or row is not known; or as `columns.read_columns`.
        """
        told = {path: split_of(path.relative_to(self.path)) for path in (self.files if among is None else among)}
        of_split = "train" if divide else split
        named = next((path for path, name in told.items() if name), None)
        files = [path for path, name in told.items() if name in (of_split, None)]
        if split == "train" and not files:
            others = [self.name(path) for path in sorted(self.path.rglob("*")) if path.is_file() and path.name not in METADATA]
            holds = f" (it holds {', '.join(others[:5])}{' …' if len(others) > 5 else ''})" if others else ""
            raise UserError(f"{self.path}: holds no training file; put train.parquet or train.jsonl there{holds}")
        self._read_columns.update(required, optional)
        for path in files:
            try:
                for table in read(path, required, [*optional, "split"], lists, as_is):
                    splits = self._splits(path, table["split"], told[path], named)
                    if split == (told[path] or "train"):  # count each file's other rows in one pass only
                        self._count_others(path, splits, told[path])
                    chosen = as_mask(pc.equal(splits, of_split))
                    rows = table.drop_columns("split")
                    rows = rows if chosen.all() else rows.filter(pa.array(chosen))
                    if divide:
                        dev = divide(rows)
                        rows = rows.filter(pa.array(dev if split == "dev" else ~dev))
                    self.count(self.name(path), split, len(rows))
                    yield path, rows
                self.count(self.name(path), split, 0)  # also a file without rows was read
            except MissingColumnError as error:
                if told[path] or named is None:
                    raise
                reason = str(error).removeprefix(f"{path}: ")
                self.leave_out(self.name(path), reason)
                self.warn(f"{self.name(path)} is not read: {reason}")

    def files_and(self, more: Callable[[Path], bool]) -> list[Path]:
        """`files`, and those that a kind reads beyond the usual formats, in order."""
        others = [path for path in self.path.rglob("*") if path.is_file() and more(path) and not is_aside(self.name(path))]
        return sorted({*self.files, *others})

    def column_names(self) -> list[str]:
        """The columns of all files to read, in alphabetical order."""
        return sorted(self._columns)

    def name(self, path: Path) -> str:
        """A file's path within the folder."""
        return path.relative_to(self.path).as_posix()

    def count(self, name: str, split: Split, rows: int) -> None:
        """Count rows of a file that were yielded."""
        self._counts[name][split] += rows

    def leave_out(self, name: str, reason: str) -> None:
        """Record why a file is not read."""
        self._reasons[name] = reason

    def warn(self, line: str) -> None:
        """Record a warning about something that was probably meant to be used."""
        self._warnings[line] = None

    def reads(self, columns: Sequence[str]) -> None:
        """Record columns that a kind reads by itself, without `read_split`."""
        self._read_columns.update(columns)

    def rows(self, split: Split) -> int:
        """The number of rows of all files that were yielded for ``split``."""
        return sum(counts[split] for counts in self._counts.values())

    def account(self) -> dict[str, Any]:
        """Every file of the folder: its rows by split, those ``left out`` by reason, or why it is ``not read``."""
        names = {self.name(path) for path in self.path.rglob("*") if not path.is_dir()}
        files: dict[str, Any] = {}
        for name in sorted(names | set(self._counts) | set(self._reasons)):
            left_out = {"left out": dict(self._left_out[name])} if name in self._left_out else {}
            files[name] = {**self._counts[name], **left_out} if name in self._counts else {"not read": self._reason(name)}
        return files

    def warnings(self) -> list[str]:
        """What was probably meant to be used: files that likely hold rows, columns that look like negatives, scores or labels."""
        lines = [*self._warnings]
        for name, account in self.account().items():
            expected = is_aside(name) or name in self._reasons or split_of(Path(name)) == "test"
            if "not read" in account and (name.lower().endswith(SUFFIXES) or DATA.fullmatch(name)) and not expected:
                lines.append(f"{name} is not read: {account['not read']}")
        for column, name in self._columns.items():
            if LOOKS_USED.fullmatch(column) and column not in self._read_columns:
                lines.append(f'column "{column}" ({name}) is not read; kind triplets reads negative, negative_2 …, scores, label, split')
        return lines

    @cached_property
    def files(self) -> list[Path]:
        """Every file of rows, in order."""
        files = sorted(path for path in self.path.rglob("*") if path.is_file() and path.name.lower().endswith(SUFFIXES))
        return [path for path in files if not is_aside(self.name(path))]

    @cached_property
    def _columns(self) -> dict[str, str]:
        """The columns of all files to read, each with the name of the first file that has it."""
        files = [path for path in self.files if split_of(path.relative_to(self.path)) != "test"]
        return {column: self.name(path) for path in reversed(files) for column in column_names(path)}

    def _splits(self, path: Path, field: pa.ChunkedArray, told: str | None, named: Path | None) -> pa.Array:
        """The split of each row: that of its field, else that of the file's name."""
        encoded = one_array(field).dictionary_encode()
        values = encoded.dictionary.to_pylist()
        said = [split_named(value) for value in values]
        if unknown := [value for value, known in zip(values, said, strict=True) if value.strip() and not known and not told]:
            raise UserError(f'{path}: field "split" must be train, dev or test, got {unknown[0]!r}; correct it')
        splits = pa.array(said, pa.string()).take(encoded.indices)
        if not told and named and splits.null_count:
            raise UserError(
                f"{path}: its name has no split while that of {self.name(named)} has one, and some rows have no field split; "
                "put train, dev or test into its name, or move it away"
            )
        return pc.fill_null(splits, told or "train")

    def _count_others(self, path: Path, splits: pa.Array, told: str | None) -> None:
        """Count the rows whose split is not read."""
        for pair in pc.value_counts(splits).to_pylist():
            if pair["values"] != told and (told or pair["values"] == "test"):
                self._left_out[self.name(path)][f"field split says {pair['values']}"] += pair["counts"]

    def _reason(self, name: str) -> str:
        if name in self._reasons:
            return self._reasons[name]
        if is_aside(name):
            return "hidden, a description of files, or a cache"
        if not name.lower().endswith(SUFFIXES):
            return f"only {', '.join(SUFFIXES)} are read"
        if split_of(Path(name)) == "test":
            return "a test split is never trained on"
        return "this kind of set does not read it"


def is_aside(name: str) -> bool:
    """Whether a file is hidden, describes others, or is a cache, by its path."""
    parts = Path(name).parts
    return any(part.startswith(".") for part in parts) or parts[-1] in METADATA or fnmatchcase(parts[-1], "cache-*.arrow")
