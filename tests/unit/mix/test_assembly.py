import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.mix import selection, shuffle
from stages.mix.assembly import Source, mix
from stages.mix.selection import EvaluationTexts
from tests.refused import refused

COLUMNS = ("anchor", "positive", "negative")


@pytest.fixture
def source(tmp_path):
    """Writes a formatted set of rows (anchor, positive, negative[, negative_2])."""

    def write(name, rows, max_rows=None):
        columns = [*COLUMNS, *(f"negative_{number}" for number in range(2, max(map(len, rows)) - 1))]
        table = {column: pa.array([row[i] if i < len(row) else None for row in rows], pa.string()) for i, column in enumerate(columns)}
        table |= {"source": pa.array([name] * len(rows)), "language": pa.array(["nb"] * len(rows))}
        pq.write_table(pa.table(table), tmp_path / f"{name}.parquet")
        return Source(name, tmp_path / f"{name}.parquet", max_rows)

    return write


def triplets(name, count):
    return [(f"{name} a{i}", f"{name} p{i}", f"{name} n{i}") for i in range(count)]


def pairs(name, count):
    return [(f"{name} a{i}", f"{name} p{i}", None) for i in range(count)]


def run(tmp_path, sources, batch_size=4, seed=1, **options):
    report = mix(sources, tmp_path / "mixed", batch_size=batch_size, seed=seed, **options)
    return report, pq.read_table(tmp_path / "mixed" / "train.parquet").to_pylist()


def batches(rows):
    """Lists of rows by batch number, which must rise by one."""
    numbers = [row["batch"] for row in rows]
    assert numbers == sorted(numbers)
    groups = [[row for row in rows if row["batch"] == number] for number in range(numbers[-1] + 1)]
    assert all(groups)
    return groups


def assert_sound(rows, batch_size):
    for batch in batches(rows):
        assert len(batch) == batch_size
        assert len({row["source"] for row in batch}) == 1
        names = [name for name in batch[0] if name in COLUMNS or name.startswith("negative_")]
        assert len({tuple(row[name] is None for name in names) for row in batch}) == 1
        texts = [" ".join(row[name].casefold().split()) for row in batch for name in names if row[name] is not None]
        assert len(set(texts)) == len(texts)


def test_batches_go_round_the_sources_and_each_row_is_used_once(tmp_path, source):
    report, rows = run(tmp_path, [source("x", triplets("x", 40)), source("y", pairs("y", 22))])
    assert_sound(rows, 4)
    assert [batch[0]["source"] for batch in batches(rows)][:11] == ["x", "y"] * 5 + ["x"]
    assert len({row["anchor"] for row in rows}) == len(rows) == 60
    assert report["sources"]["y"] | {} == {
        "rows": 22,
        "removed_evaluation_overlap": 0,
        "removed_dev_overlap": 0,
        "removed_duplicate_of_earlier_set": 0,
        "removed_repeats_itself": 0,
        "tail_dropped": 2,
        "unused": 0,
        "used": 20,
        "batches": 5,
        "shared_distractors": 0,
    }
    assert report["total"]["used"] == 60


def test_first_exhausted_ends_with_the_smallest_set(tmp_path, source):
    report, rows = run(tmp_path, [source("x", triplets("x", 40)), source("y", pairs("y", 9))], stopping="first_exhausted")
    assert [batch[0]["source"] for batch in batches(rows)] == ["x", "y", "x", "y", "x"]
    assert (report["sources"]["x"]["unused"], report["sources"]["x"]["tail_dropped"]) == (28, 0)
    assert (report["sources"]["y"]["unused"], report["sources"]["y"]["tail_dropped"]) == (0, 1)


def test_a_set_too_small_for_a_batch_does_not_end_the_epoch(tmp_path, source):
    report, rows = run(tmp_path, [source("x", triplets("x", 40)), source("y", pairs("y", 3))], stopping="first_exhausted")
    assert len(rows) == 40
    assert report["sources"]["y"]["tail_dropped"] == 3


def test_pairs_and_triplets_of_one_set_never_meet(tmp_path, source):
    mixed = triplets("x", 30) + pairs("y", 50)
    _, rows = run(tmp_path, [source("x", mixed)])
    assert_sound(rows, 4)
    kinds = [batch[0]["negative"] is None for batch in batches(rows)]
    assert 0 < kinds[:10].count(True) < 10  # neither kind comes all at the end


def test_rows_with_two_negatives_keep_them(tmp_path, source):
    rows_two = [(f"a{i}", f"p{i}", f"n{i}", f"m{i}") for i in range(8)]
    _, rows = run(tmp_path, [source("x", rows_two + triplets("y", 8)), source("z", pairs("z", 8))])
    assert_sound(rows, 4)
    assert sum(row["negative_2"] is not None for row in rows) == 8


def test_a_forbidden_text_is_found_in_sets_of_unlike_shape(tmp_path, source, monkeypatch):
    """The last check, of what is written, must not rest on the removal that went before."""
    monkeypatch.setattr("stages.mix.selection.Selection.rows", unchecked(selection.Selection.rows))
    sources = [source("x", [(f"a{i}", f"p{i}", f"n{i}", f"m{i}") for i in range(8)]), source("z", pairs("z", 8))]
    report, _ = run(tmp_path, sources, evaluation=EvaluationTexts(queries=["M3"], documents=["z p1", "elsewhere"]))
    assert report["evaluation"]["in_training"] == 2


def unchecked(rows):
    """`Selection.rows` of a selection that forbids nothing."""

    def all_rows(self, path, counts, mined):
        blind = selection.Selection(EvaluationTexts())
        return rows(blind, path, counts, mined)

    return all_rows


def test_other_columns_come_along(tmp_path, source):
    plain, scored = source("x", triplets("x", 8)), source("y", triplets("y", 8))
    table = pq.read_table(scored.path)
    pq.write_table(table.append_column("scores", pa.array([[0.5, 0.1]] * 8)), scored.path)
    _, rows = run(tmp_path, [plain, scored])
    assert [row["scores"] for row in rows] == [None if row["source"] == "x" else [0.5, 0.1] for row in rows]


def test_no_text_stands_twice_in_a_batch_in_any_case(tmp_path, source):
    texts = [(f"spørsmål {i}", "Felles PASSASJE" if i % 2 else "felles  passasje", None) for i in range(20)]
    report, rows = run(tmp_path, [source("x", texts + pairs("y", 100))])
    assert_sound(rows, 4)
    assert report["sources"]["x"]["used"] >= 112


def test_rows_that_evaluation_asks_or_seeks_are_removed(tmp_path, source):
    rows = [("Hva er  klokka?", "p1", None), ("a2", "SVARET", None), ("a3", "p3", "svaret"), ("a4", "annet", None), *triplets("x", 8)]
    evaluation = EvaluationTexts(queries=["hva er klokka?"], documents=["svaret"], distractors=["Annet"])
    report, used = run(tmp_path, [source("x", rows)], batch_size=1, evaluation=evaluation)
    assert {row["anchor"] for row in used} == {"a4", *(f"x a{i}" for i in range(8))}
    assert report["sources"]["x"]["removed_evaluation_overlap"] == 3
    assert report["sources"]["x"]["shared_distractors"] == 1
    assert report["evaluation"] == {"queries": 1, "documents": 1, "in_training": 0}


def test_a_row_whose_anchor_or_positive_is_in_the_dev_rows_of_any_set_is_removed(tmp_path, source):
    other = source("y", pairs("y", 8))
    held_out = [("x a0", "something", None), ("a question", "X  p1", None)]
    dev = replace(other, dev=source("dev", held_out).path)
    report, used = run(tmp_path, [source("x", triplets("x", 10)), dev], batch_size=1)
    assert {row["anchor"] for row in used if row["source"] == "x"} == {f"x a{i}" for i in range(2, 10)}
    assert report["sources"]["x"]["removed_dev_overlap"] == 2
    assert report["sources"]["y"]["removed_dev_overlap"] == 0


def test_a_decomposed_evaluation_query_is_found(tmp_path, source):
    report, _ = run(tmp_path, [source("x", [("blåbær", "p", None), *pairs("x", 4)])], evaluation=EvaluationTexts(queries=["bla\u030abær"]))
    assert report["sources"]["x"]["removed_evaluation_overlap"] == 1


def test_of_a_row_in_two_sets_the_first_keeps_it(tmp_path, source):
    report, rows = run(tmp_path, [source("x", triplets("same", 8)), source("y", triplets("SAME", 8) + triplets("y", 8))])
    assert report["sources"]["y"]["removed_duplicate_of_earlier_set"] == 8
    assert [row["source"] for row in rows].count("y") == 8


def test_a_row_that_repeats_itself_is_removed(tmp_path, source):
    report, _ = run(tmp_path, [source("x", [("Oslo", "oslo", None), *pairs("x", 8)])])
    assert report["sources"]["x"]["removed_repeats_itself"] == 1


def test_a_cap_draws_rows_from_the_whole_set(tmp_path, source):
    report, rows = run(tmp_path, [source("x", triplets("x", 400), max_rows=50)])
    assert (len(rows), report["sources"]["x"]["unused"]) == (48, 352)
    assert max(int(row["anchor"].split("a")[1]) for row in rows) > 200


def test_proportional_spreads_the_sets_evenly(tmp_path, source):
    _, rows = run(tmp_path, [source("x", triplets("x", 120)), source("y", pairs("y", 40))], strategy="proportional")
    order = [batch[0]["source"] for batch in batches(rows)]
    assert all(order[start : start + 4].count("y") == 1 for start in range(0, 40, 4))


def test_temperature_lies_between(tmp_path, source):
    sources = [source("x", triplets("x", 1600)), source("y", pairs("y", 100))]
    _, rows = run(tmp_path, sources, strategy="temperature", temperature=0.5)
    assert [batch[0]["source"] for batch in batches(rows)][:100].count("y") == 20


def digest(tmp_path, sources, **options):
    run(tmp_path, sources, **options)
    return hashlib.sha256((tmp_path / "mixed" / "train.parquet").read_bytes()).hexdigest()


def test_the_seed_decides_the_bytes(tmp_path, source):
    sources = [source("x", triplets("x", 100)), source("y", pairs("y", 100))]
    assert digest(tmp_path, sources) == digest(tmp_path, sources) != digest(tmp_path, sources, seed=2)


def test_a_new_set_leaves_the_order_of_the_others(tmp_path, source):
    x, y = source("x", triplets("x", 100)), source("y", pairs("y", 100))
    alone = [row["anchor"] for row in run(tmp_path, [x])[1]]
    together = [row["anchor"] for row in run(tmp_path, [x, y])[1] if row["source"] == "x"]
    assert alone == together


def test_a_set_of_many_buckets_is_mixed_whole_and_leaves_no_scratch(tmp_path, source, monkeypatch):
    monkeypatch.setattr(shuffle, "BUCKET_BYTES", 2_000)
    monkeypatch.setattr(shuffle, "SCATTER_BYTES", 10_000)
    monkeypatch.setattr("stages.rows.parquet.READ_ROWS", 64)
    monkeypatch.setattr("stages.mix.assembly.WINDOW_ROWS", 64)
    repeated = [(f"a{i}", f"p{i // 5}", None) for i in range(1_000)]
    _, rows = run(tmp_path, [source("x", repeated), source("y", triplets("y", 700))], batch_size=16)
    assert_sound(rows, 16)
    assert len({row["anchor"] for row in rows}) == len(rows) >= 1_670
    places = [int(row["anchor"][1:]) for row in rows if row["source"] == "x"]
    assert abs(np.corrcoef(places, np.arange(len(places)))[0, 1]) < 0.15
    assert [path.name for path in (tmp_path / "mixed").iterdir()] == ["train.parquet"]


def test_row_groups_hold_whole_batches(tmp_path, source, monkeypatch):
    monkeypatch.setattr("stages.mix.assembly.WINDOW_ROWS", 30)
    run(tmp_path, [source("x", triplets("x", 100))], batch_size=8)
    metadata = pq.read_metadata(tmp_path / "mixed" / "train.parquet")
    assert metadata.num_row_groups > 1
    assert all(metadata.row_group(group).num_rows % 8 == 0 for group in range(metadata.num_row_groups))


def test_no_source_stops_with_one_line(tmp_path):
    with refused("datasets", "this profile has none"):
        run(tmp_path, [])


def test_no_full_batch_stops_with_one_line_and_leaves_nothing(tmp_path, source):
    small = source("x", pairs("x", 3))
    with refused("datasets", "batch of 4", "3 rows", "per_device_train_batch_size"):
        run(tmp_path, [small])
    assert not (tmp_path / "mixed").exists()
