"""The raw folder of a data set: which files belong to a split, their rows, and an account of every file."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
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
DATA = (
    ".csv",
    ".tsv",
    ".jsonlines",
    ".sqlite",
    ".db",
    ".gz",
    ".tgz",
    ".tar",
    ".zip",
    ".bz2",
    ".xz",
    ".zst",
    ".7z",
    ".feather",
    ".orc",
    ".avro",
    ".xlsx",
    ".pkl",
    ".pickle",
)
"""Suffixes of files that likely hold rows and are not read: a warning names them."""
LOOKS_USED = re.compile(
    r"(?!.*[ _.-]ids?$)(.*[ _.-])?"
    r"(neg(ative)?s?|scores?|labels?|margin|similarity|relevance|irrelevant|split)(\d+|[ _.-].*)?",
    re.IGNORECASE,
)
"""Names of columns that look like negatives, scores, labels or splits."""


class RawFolder:
    """Reads the rows of a folder and remembers what became of each file.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, Counter[str]] = defaultdict(Counter)
        self._left_out: dict[str, Counter[str]] = defaultdict(Counter)
        self._reasons: dict[str, str] = {}
        self._warnings: dict[str, None] = {}
        self._read_columns: set[str] = {"split"}

    def read_split(
        self,
        split: Split,
        required: Sequence[str],
        optional: Sequence[str] = (),
        lists: Sequence[str] = (),
        objects: Sequence[str] = (),
        divide: Callable[[pa.Table], np.ndarray] | None = None,
    ) -> Iterator[tuple[Path, pa.Table]]:
        """Yield (file, some rows) of every file of a split, with the named columns as `columns.read_columns` gives them.

        A file belongs to the split that is a word of its name (``train-00000-of-00002.parquet``) or of the nearest
        folder above it. In a file whose name tells none each row's field ``split`` does; where no file's name tells a
        split, rows without the field are training rows. In the other files a row whose field tells another split than
        the file's name is left out.

        Args:
            divide: which rows of the training files are those of dev, as a mask; files of dev are not read then.

        Raises:
            UserError: no file to train on, a file or a row whose split is not known, and as `columns.read_columns`.
        """
        told = {path: split_of(path.relative_to(self.path)) for path in self._files}
        of_split = "train" if divide else split
        named = next((path for path, name in told.items() if name), None)
        files = [path for path, name in told.items() if name in (of_split, None)]
        if split == "train" and not files:
            raise UserError(f"{self.path}: holds no training file; put train.parquet or train.jsonl there{self._others()}")
        self._read_columns.update(required, optional, objects)
        for path in files:
            try:
                for table in read_columns(path, required, [*optional, "split"], lists, objects):
                    rows = self._of_split(path, table, told[path], of_split, named, count=split == (told[path] or "train"))
                    if divide:
                        dev = divide(rows)
                        rows = rows.filter(pa.array(dev if split == "dev" else ~dev))
                    self.count(self.name(path), split, len(rows))
                    yield path, rows
                self.count(self.name(path), split, 0)  # also a file without rows was read
            except MissingColumnError as error:
                if told[path] or named is None:
                    raise
                self.leave_out(self.name(path), reason := str(error).removeprefix(f"{path}: "))
                self.warn(f"{self.name(path)} is not read: {reason}")

    def column_names(self) -> dict[str, str]:
        """The columns of all files to read, in alphabetical order, each with the name of the first file that has it."""
        return dict(sorted(self._columns.items()))

    def name(self, path: Path) -> str:
        """A file's path within the folder."""
        return path.relative_to(self.path).as_posix()

    def count(self, name: str, what: str, rows: int) -> None:
        """Note that ``rows`` rows of a file were handed on: of a split, or what else they are."""
        self._rows[name][what] += rows

    def leave_out(self, name: str, reason: str) -> None:
        """Note why a file is not read."""
        self._reasons[name] = reason

    def warn(self, line: str) -> None:
        """Note something that a reader may have expected to be used."""
        self._warnings[line] = None

    def reads(self, columns: Sequence[str]) -> None:
        """Note columns that a kind reads by itself, without `read_split`."""
        self._read_columns.update(columns)

    def rows(self, split: Split) -> int:
        """The rows of all files that were handed on as those of ``split``."""
        return sum(counts[split] for counts in self._rows.values())

    def account(self) -> dict[str, Any]:
        """Every file of the folder: its rows by split, those ``left out`` by reason, or why it is ``not read``."""
        names = {self.name(path) for path in self.path.rglob("*") if not path.is_dir()}
        files: dict[str, Any] = {}
        for name in sorted(names | set(self._rows) | set(self._reasons)):
            left_out = {"left out": dict(self._left_out[name])} if name in self._left_out else {}
            files[name] = {**self._rows[name], **left_out} if name in self._rows else {"not read": self._reason(name)}
        return files

    def warnings(self) -> list[str]:
        """What a reader may have expected to be used: files that likely hold rows, columns that look like negatives, scores or labels."""
        lines = [*self._warnings]
        for name, account in self.account().items():
            reason = account.get("not read")
            if reason and name.lower().endswith((*SUFFIXES, *DATA)) and not self._expected(name):
                lines.append(f"{name} is not read: {reason}")
        for column, name in self._columns.items():
            if LOOKS_USED.fullmatch(column) and column not in self._read_columns:
                lines.append(f'column "{column}" ({name}) is not read; kind triplets reads negative, negative_2 …, scores, label, split')
        return lines

    @cached_property
    def _files(self) -> list[Path]:
        """Every file of rows, in order."""
        files = sorted(path for path in self.path.rglob("*") if path.is_file() and path.name.lower().endswith(SUFFIXES))
        return [path for path in files if not self._is_aside(self.name(path))]

    @cached_property
    def _columns(self) -> dict[str, str]:
        files = [path for path in self._files if split_of(path.relative_to(self.path)) != "test"]
        return {column: self.name(path) for path in reversed(files) for column in column_names(path)}

    def _of_split(self, path: Path, table: pa.Table, told: str | None, split: str, named: Path | None, count: bool) -> pa.Table:
        """The rows of a split; ``count``: this is the pass in which rows of no split that is read are counted."""
        field = one_array(table["split"]).dictionary_encode()
        table = table.drop_columns("split")
        said = [split_named(value) or ("" if value.strip() else None) for value in field.dictionary.to_pylist()]
        if not told:
            for value, known in zip(field.dictionary.to_pylist(), said, strict=True):
                if known == "":
                    raise UserError(f'{path}: its field "split" holds {value!r}, which tells no split; write train, dev or test')
        of_row = pa.array([name or None for name in said], pa.string()).take(field.indices)
        if not told and named and of_row.null_count:
            raise UserError(
                f"{path}: its name tells no split while that of {self.name(named)} does, and it has rows without a field split; "
                "put train, dev or test into its name, or move it away"
            )
        of_row = pc.fill_null(of_row, told or "train")
        if count:
            for pair in pc.value_counts(of_row).to_pylist():
                if pair["values"] != told and (told or pair["values"] == "test"):
                    self._left_out[self.name(path)][f"field split says {pair['values']}"] += pair["counts"]
        mask = as_mask(pc.equal(of_row, split))
        return table if mask.all() else table.filter(pa.array(mask))

    def _is_aside(self, name: str) -> bool:
        parts = Path(name).parts
        return any(part.startswith(".") for part in parts) or parts[-1] in METADATA or fnmatchcase(parts[-1], "cache-*.arrow")

    def _expected(self, name: str) -> bool:
        """Whether nobody expects that a file's rows are used."""
        return self._is_aside(name) or name in self._reasons or split_of(Path(name)) == "test"

    def _reason(self, name: str) -> str:
        if name in self._reasons:
            return self._reasons[name]
        if self._is_aside(name):
            return "hidden, a description of files, or a cache"
        if not name.lower().endswith(SUFFIXES):
            return f"only {', '.join(SUFFIXES)} are read"
        if split_of(Path(name)) == "test":
            return "a test split is never trained on"
        return "this kind of set does not read it"

    def _others(self) -> str:
        names = [self.name(path) for path in sorted(self.path.rglob("*")) if path.is_file() and path.name not in METADATA]
        return f" (it holds {', '.join(names[:5])}{' …' if len(names) > 5 else ''})" if names else ""
