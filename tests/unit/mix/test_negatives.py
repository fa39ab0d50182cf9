"""Which of a row's negatives a step uses, and that scores stay beside their texts."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.mix.assembly import Source, mix
from stages.mix.selection import EvaluationTexts
from tests.refused import refused


@pytest.fixture
def source(tmp_path):
    """Writes a formatted set of rows (anchor, positive, negatives, scores or None)."""

    def write(name, rows, mined=False):
        width = max(len(row[2]) for row in rows)
        table = {"anchor": [row[0] for row in rows], "positive": [row[1] for row in rows]}
        for place in range(width):
            column = "negative" if place == 0 else f"negative_{place + 1}"
            table[column] = pa.array([row[2][place] for row in rows], pa.string())
        if len(rows[0]) > 3:
            table["scores"] = pa.array([row[3] for row in rows], pa.list_(pa.float64()))
        table |= {"source": [name] * len(rows), "language": ["nb"] * len(rows)}
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
        return Source(name, tmp_path / f"{name}.parquet", mined=mined)

    return write


def run(tmp_path, sources, batch_size=2, **options):
    report = mix(sources, tmp_path / "mixed", batch_size=batch_size, seed=1, **options)
    return report, sorted(pq.read_table(tmp_path / "mixed" / "train.parquet").to_pylist(), key=lambda row: row["anchor"])


def numbered(count, negatives=3, **more):
    return [(f"a{i}", f"p{i}", [f"n{i}.{k}" for k in range(negatives)], *more.values()) for i in range(count)]


@pytest.mark.parametrize(("limit", "columns"), [(None, 3), (2, 2), (1, 1), (0, 0), (7, 3)])
def test_a_step_uses_the_first_negatives_up_to_the_limit(tmp_path, source, limit, columns):
    _, rows = run(tmp_path, [source("x", numbered(6))], max_negatives=limit)
    names = [name for name in rows[0] if name.startswith("negative")]
    assert names == ["negative", "negative_2", "negative_3"][:columns]
    assert [[row[name] for name in names] for row in rows] == [[f"n{i}.{k}" for k in range(columns)] for i in range(6)]


def test_a_gap_is_closed_so_that_rows_with_as_many_negatives_share_a_batch(tmp_path, source):
    rows = [(f"a{i}", f"p{i}", [f"n{i}", None] if i % 2 else [None, f"n{i}"]) for i in range(4)]
    report, mixed = run(tmp_path, [source("x", rows)], batch_size=4)
    assert report["total"]["used"] == 4
    assert [(row["negative"], row["negative_2"]) for row in mixed] == [(f"n{i}", None) for i in range(4)]


def test_a_limit_lets_rows_with_more_negatives_share_a_batch_with_those_with_fewer(tmp_path, source):
    rows = [(f"a{i}", f"p{i}", [f"n{i}", f"m{i}" if i % 2 else None]) for i in range(4)]
    assert run(tmp_path, [source("x", rows)], batch_size=4, max_negatives=1)[0]["total"]["used"] == 4


def test_scores_follow_their_negatives(tmp_path, source):
    rows = [(f"a{i}", f"p{i}", [None, f"n{i}", f"m{i}"], [9.0, None, 1.0 + i, 2.0 + i]) for i in range(4)]
    scored = source("x", rows)
    assert [row["scores"] for row in run(tmp_path, [scored])[1]] == [[9.0, 1.0 + i, 2.0 + i] for i in range(4)]
    assert [row["scores"] for row in run(tmp_path, [scored], max_negatives=1)[1]] == [[9.0, 1.0 + i] for i in range(4)]


def test_distillation_uses_only_rows_with_a_negative_and_scores(tmp_path, source):
    whole = [(f"a{i}", f"p{i}", [f"n{i}"], [1.0, 0.5]) for i in range(4)]
    broken = [("b", "q", ["r"], None), ("c", "s", ["t"], [1.0]), ("d", "u", [None], [1.0, 0.5]), ("e", "v", ["w"], [1.0, float("nan")])]
    report, rows = run(tmp_path, [source("x", whole + broken)], scored=True, contrasted=False)
    assert [row["anchor"] for row in rows] == ["a0", "a1", "a2", "a3"]
    assert report["sources"]["x"]["removed_without_scores"] == 4


def test_a_set_without_scores_is_one_line_where_distillation_needs_them(tmp_path, source):
    with refused("datasets.x", "scores", "loss.distillation"):
        run(tmp_path, [source("x", numbered(6))], scored=True, contrasted=False)
    with refused("loss.distillation", "no row", "mining.teachers"):
        run(tmp_path, [source("x", numbered(6))], scored=True)


def test_rows_without_scores_are_contrasted_in_batches_of_their_own(tmp_path, source):
    rows = [(f"a{i}", f"p{i}", [f"n{i}"], [1.0, 0.5] if i % 2 else None) for i in range(12)]
    others = source("y", [(f"b{i}", f"q{i}", [f"m{i}"]) for i in range(4)])
    report, mixed = run(tmp_path, [source("x", rows), others], scored=True)
    assert report["total"]["used"] == 16 and report["total"]["without_scores"] == 10
    batches = {}
    for row in mixed:
        batches.setdefault(row["batch"], set()).add(row["scores"] is None)
    assert all(len(kinds) == 1 for kinds in batches.values())


def test_negatives_of_their_own_row_may_repeat_in_a_batch_and_anchors_and_positives_may_not(tmp_path, source):
    """Eight rows about four documents, each with the other three as negatives."""
    rows = [(f"a{i}", f"p{i % 4}", [f"p{(i + k) % 4}" for k in (1, 2, 3)]) for i in range(8)]
    report, mixed = run(tmp_path, [source("x", rows)], batch_size=4, own_negatives=True)
    assert report["total"]["used"] == 8
    for number in (0, 1):
        assert len({row["positive"] for row in mixed if row["batch"] == number}) == 4
    with refused("no set fills a batch of 4"):
        run(tmp_path, [source("x", rows)], batch_size=4)


def test_a_mined_negative_that_evaluation_seeks_goes_and_its_row_stays(tmp_path, source):
    evaluation = EvaluationTexts(documents=["N1.0", "p3"])
    report, rows = run(tmp_path, [source("x", numbered(6, 2), mined=True)], evaluation=evaluation, batch_size=1)
    assert [(row["anchor"], row["negative"], row["negative_2"]) for row in rows if row["anchor"] in ("a1", "a3")] == [("a1", "n1.1", None)]
    assert report["sources"]["x"]["mined_negatives_barred"] == 1
    assert report["evaluation"]["in_training"] == 0


def test_a_text_mined_twice_never_stands_twice_in_a_batch(tmp_path, source):
    rows = [(f"a{i}", f"p{i}", [f"p{(i + 1) % 12}"]) for i in range(12)]
    _, mixed = run(tmp_path, [source("x", rows, mined=True)], batch_size=3)
    for number in {row["batch"] for row in mixed}:
        texts = [row[name] for row in mixed if row["batch"] == number for name in ("anchor", "positive", "negative")]
        assert len(set(texts)) == len(texts) == 9
