"""Held-out rows as a retrieval set that chooses among checkpoints."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from stages.retrieval.sets import RetrievalSet, read_sets, write_sets
from stages.validation import dev
from stages.validation.dev import dev_set


def write(path: Path, rows: list[tuple[str, str, str | None]]) -> Path:
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    pq.write_table(pa.table([pa.array(c, pa.string()) for c in columns], names=["anchor", "positive", "negative"]), path)
    return path


def test_an_anchors_positives_are_relevant_and_all_other_texts_are_not(tmp_path: Path) -> None:
    found = dev_set("qa", write(tmp_path / "dev.parquet", [("a", "x", None), ("a", "y", "z"), ("b", "x", "y")]))
    assert found is not None and found.name == "dev-qa" and found.entry == "dev" and not found.nano
    by_text = {
        found.queries[query]: {found.corpus[document]: grade for document, grade in documents.items()}
        for query, documents in found.qrels.items()
    }
    assert by_text == {"a": {"x": 1.0, "y": 1.0}, "b": {"x": 1.0}}
    assert sorted(found.corpus.values()) == ["x", "y", "z"]


def test_an_anchor_that_is_a_text_of_the_corpus_is_left_out_of_its_own_results(tmp_path: Path) -> None:
    found = dev_set("x", write(tmp_path / "dev.parquet", [("a", "x", None), ("x", "a", "z"), ("b", "x", None)]))
    assert found is not None
    assert {found.queries[query] for query in found.own} == {"a", "x"}
    assert all(found.corpus[query] == found.queries[query] for query in found.own)
    assert {found.queries[query]: {found.corpus[d] for d in documents} for query, documents in found.qrels.items()} == {
        "a": {"x"},
        "x": {"a"},
        "b": {"x"},
    }


def test_no_row_is_no_set(tmp_path: Path) -> None:
    assert dev_set("none", write(tmp_path / "dev.parquet", [])) is None


def test_a_large_set_is_drawn_the_same_way_whatever_the_order_of_its_rows(tmp_path: Path) -> None:
    rows: list[tuple[str, str, str | None]] = [(f"anchor {i}", f"positive {i}", None) for i in range(5_000)]
    first = dev_set("large", write(tmp_path / "a.parquet", rows))
    random.Random(0).shuffle(rows)
    second = dev_set("large", write(tmp_path / "b.parquet", rows))
    assert first is not None and second is not None
    assert len(first.queries) == dev.QUERIES and len(first.corpus) == dev.DOCUMENTS
    assert set(first.queries.values()) == set(second.queries.values())
    assert set(first.corpus.values()) == set(second.corpus.values())
    assert all(document in first.corpus for documents in first.qrels.values() for document in documents)


def test_sets_come_back_from_their_files_as_they_were(tmp_path: Path) -> None:
    sets = [
        RetrievalSet("b/NanoX", "nb", {"q2": "to", "q1": "en"}, {"d": "tekst"}, {"q2": {"d": 1.0}, "q1": {"gone": 0.7}}, 3, "b", True),
        RetrievalSet("dev-a", None, {"q0": "hei"}, {"d0": "hopp", "d1": "å"}, {"q0": {"d1": 1.0}}),
        RetrievalSet(
            "own", None, {"q": "hei"}, {"q": "hei", "d": "å"}, {"q": {"d": 1.0}}, own=frozenset({"q"}), unknown="1", unknown_ids=1
        ),
    ]
    write_sets(sets, tmp_path / "sets.json")
    found = read_sets(tmp_path / "sets.json")
    assert found == sets
    assert list(found[0].queries) == ["q2", "q1"]
