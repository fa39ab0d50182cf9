"""Make the base model from the mixed training texts, where params.yaml asks for `model.base_model: made`."""

from collections.abc import Iterator
from pathlib import Path

from stages.errors import run_stage
from stages.files import atomic_write, mark_unused
from stages.params import read_resolved

MIXED, MADE = Path("data/mixed/train.parquet"), Path("models/made")


def main() -> None:
    settings = read_resolved("make_base")
    if not settings["made"]:
        mark_unused(MADE)
        return

    from stages.sample.base import make_base

    with atomic_write(MADE) as folder:
        folder.mkdir()
        make_base(lambda: texts(MIXED), folder, max_seq_length=settings["max_seq_length"], seed=settings["seed"], **settings["made"])


def texts(mixed: Path) -> Iterator[str]:
    """Every anchor, positive and negative of the mixed training rows, in order."""
    from stages.rows.parquet import read_tables, text_columns

    for rows in read_tables(mixed):
        for column in text_columns(rows.column_names):
            yield from (text for text in rows[column].to_pylist() if text)


if __name__ == "__main__":
    run_stage(main)
