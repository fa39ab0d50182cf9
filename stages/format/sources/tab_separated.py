"""Reads tab-separated files, often without a header, as tables of strings: MS MARCO's collections and teachers' scores, parallel text.

A tab ends a field and a line feed a row; quotes mean nothing, as in these files they are part of the text.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from stages.format.sources.columns import first_names, read_columns
from stages.format.sources.json_rows import MissingColumnError
from stages.rows.parquet import READ_ROWS
from stages.runtime.errors import UserError

SUFFIXES = (".tsv", ".tsv.gz")
_BLOCK = 4 * 2**20  # bytes read at once; the longest row must fit


def is_tab_separated(path: Path) -> bool:
    """Whether a file is tab-separated, gzipped or not, by its name."""
    return path.name.lower().endswith(SUFFIXES)


@dataclass(frozen=True)
class Tables:
    """Reads tab-separated files, and all that `stages.format.sources.columns` reads.

    Attributes:
        known: names of columns. The first line of a file is a header if one of its fields is among them, in any case of letters.
        without_header: number of columns → their names in a file without a header; a file of another number has no columns.
    """

    known: Sequence[str]
    without_header: Mapping[int, Sequence[str]]

    def names(self, path: Path) -> list[str]:
        """The columns of a file; for JSON the keys of its first rows."""
        return self._header(path)[0] if is_tab_separated(path) else first_names(path)

    def read(
        self, path: Path, required: Sequence[str], optional: Sequence[str] = (), lists: Collection[str] = (), as_is: Collection[str] = ()
    ) -> Iterator[pa.Table]:
        """Yield columns like `columns.read_columns`, those of tab-separated files as strings.

        Raises:
            UserError: a tab-separated file is empty, broken or not UTF-8, or a row has another number of fields; or as `read_columns`.
        """
        if not is_tab_separated(path):
            yield from read_columns(path, required, optional, lists, as_is)
            return
        columns, named = self._header(path)
        for name in required:
            if name not in columns:
                raise MissingColumnError(path, name, columns)
        for table in _batches(path, columns, skip=named):
            chosen = {name: table[name] if name in columns else pa.nulls(len(table), pa.string()) for name in (*required, *optional)}
            whole = pa.table(chosen)
            yield from (whole.slice(start, READ_ROWS) for start in range(0, max(1, len(whole)), READ_ROWS))

    def _header(self, path: Path) -> tuple[list[str], bool]:
        """The columns of a tab-separated file, and whether its first line names them."""
        fields = next(_batches(path, None)).column_names
        lower = [field.strip().lower() for field in fields]
        return (lower, True) if set(lower) & set(self.known) else (list(self.without_header.get(len(fields), ())), False)


def _batches(path: Path, columns: Sequence[str] | None, skip: bool = False) -> Iterator[pa.Table]:
    """The rows as strings; without ``columns``, first an empty table whose columns are the fields of the first row."""
    try:
        with (
            pa.input_stream(path) as stream,
            csv.open_csv(
                stream,
                csv.ReadOptions(block_size=_BLOCK, column_names=columns, skip_rows=int(skip)),
                csv.ParseOptions(delimiter="\t", quote_char=False),
                csv.ConvertOptions(column_types=dict.fromkeys(columns or (), pa.string())),
            ) as batches,
        ):
            if columns is None:
                _ = batches.schema.names  # decodes them, so that a fault is found here
                yield batches.schema.empty_table()
            for batch in batches:
                yield pa.Table.from_batches([batch])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        fault = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be read as UTF-8 with tabs between the fields ({fault}); correct it") from error
