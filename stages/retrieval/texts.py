"""Queries and documents of the MTEB tasks in one parquet file next to their data, so that mix can keep them out of training.

Only mteb's own loader knows which rows of a task are scored: some tasks sample rows, or turn answers into documents. The download stage
writes the texts once, so that readers need not import mteb, which takes seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stages.runtime.errors import UserError

Role = Literal["queries", "documents", "distractors"]
"""Of a text: a query, a document that is relevant for some query, any other document."""
ROLES: tuple[Role, ...] = ("queries", "documents", "distractors")
TEXTS = "texts.parquet"
SCHEMA = pa.schema([("task", pa.string()), ("role", pa.string()), ("text", pa.string())])


def write_texts(path: Path, tasks: Mapping[str, Iterable[tuple[Role, str]]]) -> None:
    """Write the (role, text) pairs of each task."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for task, pairs in tasks.items():
            roles, texts = zip(*pairs, strict=True)
            writer.write_table(pa.table([[task] * len(texts), roles, texts], schema=SCHEMA))


def read_texts(path: Path, tasks: Sequence[str] | None = None) -> dict[Role, list[str]]:
    """The texts of the named tasks, or of all, by role.

    Raises:
        UserError: the file is missing or lacks one of the tasks.
    """
    table = pq.read_table(path) if path.is_file() else SCHEMA.empty_table()
    if tasks is None:
        tasks = table["task"].unique().to_pylist() or ["any task"]
    if missing := sorted(set(tasks) - set(table["task"].unique().to_pylist())):
        raise UserError(f"{path}: has no texts of {', '.join(missing)}; run `dvc repro -f download-mteb`")
    chosen = table.filter(pc.is_in(table["task"], pa.array(tasks, pa.string())))
    return {role: chosen.filter(pc.equal(chosen["role"], role))["text"].to_pylist() for role in ROLES}
