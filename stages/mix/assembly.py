"""Mixes all formatted sets into one file of batches, in training order."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.mix.batches import BatchStream
from stages.mix.order import Stopping, Strategy, Turns, weights
from stages.mix.selection import EvaluationTexts, Selection
from stages.mix.shuffle import scatter
from stages.rows.parquet import RowGroupWriter, text_bytes, text_columns
from stages.runtime.errors import UserError
from stages.runtime.files import atomic_write

WINDOW_ROWS, WINDOW_BYTES = 16_384, 64 * 2**20
"""Rows assembled and written at once, at most, but at least one batch; always whole batches."""


ACCOUNT = (
    "rows",
    "removed_evaluation_overlap",
    "removed_dev_overlap",
    "removed_duplicate_of_earlier_set",
    "removed_repeats_itself",
    "tail_dropped",
    "unused",
    "used",
    "batches",
    "shared_distractors",
)
"""The counts of a source in metrics/mix.json."""


@dataclass(frozen=True)
class Source:
    """A formatted set.

    Attributes:
        path: its train.parquet.
        max_rows: rows that an epoch may use, at most.
        mined: whether negatives were mined for it.
        dev: its dev.parquet, whose rows no set may train on.
    """

    name: str
    path: Path
    max_rows: int | None = None
    mined: bool = False
    dev: Path | None = None


def mix(
    sources: Sequence[Source],
    folder: Path,
    *,
    batch_size: int,
    seed: int,
    strategy: Strategy = "round_robin",
    temperature: float = 0.5,
    stopping: Stopping = "all_exhausted",
    evaluation: EvaluationTexts | None = None,
    max_negatives: int | None = None,
    scored: bool = False,
    contrasted: bool = True,
    own_negatives: bool = False,
) -> dict[str, Any]:
    """Write ``folder``/train.parquet: the rows of the sources in training order, with a column ``batch`` (int32).

    Every batch holds ``batch_size`` rows of one source, the same number of negatives in each, and no text twice. Rows that fill no batch
    are dropped and counted. The order of a source's rows depends on ``seed``, its name and its rows, not on the other sources. Memory:
    one bucket per source (`shuffle.BUCKET_BYTES`) and 8 bytes per row. Temporary disk space: the size of the rows.

    Args:
        sources: in the order of params.yaml; a row in two sources stays in the first.
        batch_size: rows of one contrastive step: rows per device times the processes whose rows are gathered.
        stopping: ``all_exhausted``: a source without a further batch drops out, so that every row is used once. ``first_exhausted``: the
            epoch ends when a source has no further batch; sources that never had one do not count.
        max_negatives: per row; the first ones are used. None: all.
        scored: a teacher's scores are learned: rows with a negative and scores share no batch with others.
        contrasted: other rows are of use too; False: only rows with a negative and scores are used.
        own_negatives: a negative counts for its own row only, and may repeat in a batch.

    Returns:
        The contents of metrics/mix.json: ``sources``, ``total`` and ``evaluation``.

    Raises:
        UserError: there is no source, no source fills a batch, or a source has no scores where they are needed.
    """
    if not sources:
        raise UserError("datasets: this profile has none; choose another profile")
    selection = Selection(
        evaluation or EvaluationTexts(), [source.dev for source in sources if source.dev], max_negatives, scored and not contrasted
    )
    counts: list[Counter[str]] = [Counter() for _ in sources]
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        streams = []
        for source, count in zip(sources, counts, strict=True):
            generator = np.random.default_rng([seed, crc32(source.name.encode())])
            scratch = temporary / f"{source.name}.scratch"
            buckets = scatter(selection.rows(source.path, count, source.mined), text_bytes(source.path), scratch, generator)
            if scored and not contrasted and count["removed_without_scores"] == count["rows"]:
                raise UserError(
                    f"datasets.{source.name}: no row has a negative and scores, which loss.distillation needs; "
                    "set mining.method and mining.teachers, or leave the set out with profile: none"
                )
            limit = None if source.max_rows is None else source.max_rows // batch_size
            streams.append(BatchStream(buckets, batch_size, generator, limit, scored, own_negatives))
        if scored and all(count["without_scores"] == count["kept"] for count in counts):
            raise UserError(
                "loss.distillation: no row of any data set has a negative and scores; set mining.method and mining.teachers, or none"
            )
        rows = [min(count["kept"], source.max_rows or count["kept"]) for source, count in zip(sources, counts, strict=True)]
        batches = _in_turn(streams, Turns(weights(rows, strategy, temperature)), stopping)
        overlaps = _write(temporary / "train.parquet", _schema(sources, max_negatives), batches, _window_rows(sources), selection)
        for scratch in temporary.glob("*.scratch"):
            scratch.unlink()
        if not any(stream.used for stream in streams):
            raise UserError(
                f"datasets: no set fills a batch of {batch_size} rows without a repeated text ({sum(rows)} rows in all); "
                "lower training.per_device_train_batch_size or add data"
            )
    keys = [*ACCOUNT, *(["without_scores" if contrasted else "removed_without_scores"] if scored else [])]
    keys += ["mined_negatives_barred"] if any(source.mined for source in sources) else []
    for count, stream in zip(counts, streams, strict=True):
        used = stream.used * batch_size
        count.update(used=used, batches=stream.used, **{"tail_dropped" if stream.exhausted else "unused": count["kept"] - used})
    report = {source.name: {key: count[key] for key in keys} for source, count in zip(sources, counts, strict=True)}
    total = {key: sum(count[key] for count in counts) for key in keys}
    checked = {"queries": selection.queries, "documents": selection.documents, "in_training": overlaps}
    return {"sources": report, "total": total, "evaluation": checked}


def _schema(sources: Sequence[Source], max_negatives: int | None) -> pa.Schema:
    """The columns of all sources: texts, whatever else one has (such as scores), source, language, batch."""
    schemas = [pq.read_schema(source.path).remove_metadata() for source in sources]
    union = pa.unify_schemas(schemas)
    last = ["source", "language"]
    texts = sorted(text_columns(union.names)[2:], key=lambda name: (len(name), name))
    others = [name for name in union.names if name not in {"anchor", "positive", *texts, *last}]
    fields = [union.field(name) for name in ["anchor", "positive", *texts[:max_negatives], *others, *last]]
    return pa.schema([*fields, pa.field("batch", pa.int32())])


def _in_turn(streams: Sequence[BatchStream], turns: Turns, stopping: Stopping) -> Iterator[pa.Table]:
    """The batches in training order."""
    for source in turns:
        if (batch := streams[source].next()) is not None:
            yield batch
        elif stopping == "first_exhausted" and streams[source].used:
            break
        else:
            turns.leave(source)


def _window_rows(sources: Sequence[Source]) -> int:
    widest = max(text_bytes(source.path) / max(pq.read_metadata(source.path).num_rows, 1) for source in sources)
    return min(WINDOW_ROWS, int(WINDOW_BYTES / max(widest, 1)))


def _write(path: Path, schema: pa.Schema, batches: Iterator[pa.Table], window_rows: int, selection: Selection) -> int:
    """Write the batches with their numbers; return how many rows overlap with evaluation, which must be none."""
    overlaps = number = 0
    with RowGroupWriter(path, schema, gather=False) as writer:
        while window := list(_window(batches, window_rows)):
            size = len(window[0])
            rows = pa.concat_tables([schema.empty_table().drop_columns("batch"), *window], promote_options="default").combine_chunks()
            overlaps += selection.overlaps(rows)
            numbers = np.repeat(np.arange(number, number + len(window), dtype=np.int32), size)
            number += len(window)
            writer.write(rows.append_column("batch", pa.array(numbers)))
    return overlaps


def _window(batches: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The next batches, with at least ``rows`` rows in all if there are so many."""
    taken = 0
    while taken < max(rows, 1) and (batch := next(batches, None)) is not None:
        taken += len(batch)
        yield batch
