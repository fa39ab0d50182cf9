import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages.retrieval.bm25 import retrieve
from stages.retrieval.sets import RESERVED, distinct, load_beir, load_nanobeir, load_sets
from tests.refused import refused

HEADER = "query-id\tcorpus-id\tscore\n"


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    documents = [{"_id": f"d{index}", "title": "", "text": f"tekst {index}"} for index in range(3)]
    documents.append({"_id": "blank", "title": "", "text": " "})
    queries = [{"_id": f"q{index}", "text": f"spørsmål {index}"} for index in range(4)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents))
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(HEADER + "q0\td0\t1\nq0\tblank\t2\nq1\td1\t0\nq2\td2\t0.5\n")
    return tmp_path


def test_beir_folder_keeps_queries_with_a_relevant_document_and_counts_the_rest(beir: Path) -> None:
    [found] = load_beir(beir, "mine", language="nb")
    assert (found.name, found.language, found.nano) == ("mine", "nb", False)
    assert found.queries == {"q0": "spørsmål 0", "q2": "spørsmål 2"}
    assert found.queries_left_out == 2
    assert set(found.corpus) == {"d0", "d1", "d2"}
    assert found.qrels == {"q0": {"d0": 1.0, "blank": 2.0}, "q2": {"d2": 0.5}}


def test_a_missing_split_is_refused_with_those_that_exist(beir: Path) -> None:
    with refused("qrels/dev.tsv", "no such file", ": test"):
        load_beir(beir, "mine", split="dev")


def test_split_in_which_nothing_is_relevant_is_refused(beir: Path) -> None:
    (beir / "qrels" / "test.tsv").write_text(HEADER + "q0\td0\t0\n")
    with refused("test.tsv", "relevant document"):
        load_beir(beir, "mine")


def test_qrels_are_checked_against_the_corpus(beir: Path) -> None:
    (beir / "qrels" / "test.tsv").write_text(HEADER + "q0\td9\t1\n")
    with refused("test.tsv", "line 2", "document 'd9'"):
        load_beir(beir, "mine")


def write(folder: Path, subset: str, split: str, columns: dict[str, Any], shard: str = "-00000-of-00001") -> Path:
    path = folder / subset / f"{split}{shard}.parquet"
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def nano(tmp_path: Path) -> Path:
    for split in ("NanoSampleSv", "NanoSampleNb"):
        write(tmp_path, "corpus", split, {"_id": ["a", "b"], "text": [f"text {split}", "annan text"]})
        write(tmp_path, "queries", split, {"_id": ["q1", "q2", "q3"], "text": ["ett", "två", "tre"]})
        write(tmp_path, "qrels", split, {"query-id": ["q1", "q1", "q2"], "corpus-id": ["a", "b", "b"]})
    return tmp_path


def test_every_split_in_nanobeirs_form_is_one_set(nano: Path) -> None:
    nb, sv = load_nanobeir(nano, "sample")
    assert [each.name for each in (nb, sv)] == ["NanoSampleNb", "NanoSampleSv"]
    assert [each.language for each in (nb, sv)] == ["nb", "sv"]
    assert nb.nano and nb.entry == "sample"
    assert nb.corpus == {"a": "text NanoSampleNb", "b": "annan text"}
    assert nb.qrels == {"q1": {"a": 1.0, "b": 1.0}, "q2": {"b": 1.0}}
    assert nb.queries_left_out == 1


def test_shards_plain_names_scores_and_lists_of_documents_are_read(tmp_path: Path) -> None:
    write(tmp_path, "corpus", "NanoNQ", {"_id": ["a"], "text": ["x"]}, shard="-00000-of-00002")
    write(tmp_path, "corpus", "NanoNQ", {"_id": ["b"], "text": ["y"]}, shard="-00001-of-00002")
    write(tmp_path, "queries", "NanoNQ", {"_id": ["q", "r"], "text": ["x", "y"]}, shard="")
    scored = {"query-id": ["q", "r"], "corpus-id": [["a", "b"], ["a"]], "score": [2, 0]}
    write(tmp_path, "qrels", "NanoNQ", scored, shard="")
    [found] = load_nanobeir(tmp_path, "nanobeir")
    assert found.qrels == {"q": {"a": 2.0, "b": 2.0}}
    assert found.language is None


@pytest.mark.parametrize(("entry", "given", "language"), [("NanoBEIR-en", None, "en"), ("nanobeir_no", None, "nb"), ("mine", "da", "da")])
def test_language_is_taken_from_the_entry_if_the_split_has_none(tmp_path: Path, entry: str, given: str | None, language: str) -> None:
    write(tmp_path, "corpus", "NanoNFCorpus", {"_id": ["a"], "text": ["x"]})
    write(tmp_path, "queries", "NanoNFCorpus", {"_id": ["q"], "text": ["x"]})
    write(tmp_path, "qrels", "NanoNFCorpus", {"query-id": ["q"], "corpus-id": ["a"]})
    assert load_nanobeir(tmp_path, entry, given)[0].language == language


def test_ids_may_be_called_id_and_documents_may_have_a_title(tmp_path: Path) -> None:
    write(tmp_path, "corpus", "NanoNQ", {"id": ["a", "b"], "title": ["Oslo", None], "text": ["en by", " to "]})
    write(tmp_path, "queries", "NanoNQ", {"id": ["q"], "text": ["hva?"]})
    write(tmp_path, "qrels", "NanoNQ", {"query-id": ["q"], "corpus-id": ["a"], "score": [1]})
    [found] = load_nanobeir(tmp_path, "nanobeir-no")
    assert (found.corpus, found.queries, found.language) == ({"a": "Oslo en by", "b": " to "}, {"q": "hva?"}, "nb")


def test_sets_of_one_name_are_told_apart_by_their_entry(nano: Path) -> None:
    both = distinct([*load_nanobeir(nano, "one"), load_nanobeir(nano, "two")[0]])
    assert [each.name for each in both] == ["one/NanoSampleNb", "NanoSampleSv", "two/NanoSampleNb"]


QRELS = "qrels/NanoSampleNb-00000-of-00001.parquet"


@pytest.mark.parametrize(
    ("subset", "columns", "message"),
    [
        ("corpus", {"_id": ["a", "a", "b"], "text": ["x", "y", "z"]}, "row 2 … id 'a'"),
        ("queries", {"_id": ["q1", "q1"], "text": ["x", "y"]}, "row 2 … id 'q1'"),
        ("corpus", {"text": ["x", "y"]}, 'row 1 … no field "_id"'),
        ("corpus", {"_id": ["a", "b"]}, 'no column "text" … _id'),
        ("corpus", {"_id": ["a", "b"], "text": ["x", None]}, 'row 2 … no field "text"'),
        ("qrels", {"query-id": ["q1", "q9"], "corpus-id": ["a", "a"]}, "row 2 … query 'q9'"),
        ("qrels", {"query-id": ["q1", "q1"], "corpus-id": ["a", "c"]}, "row 2 … document 'c'"),
        ("qrels", {"query-id": ["q1", "q1"], "corpus-id": ["a", "a"], "score": [1, 2]}, "row 2 … second grade"),
        ("qrels", {"query-id": pa.array([], pa.string()), "corpus-id": pa.array([], pa.string())}, "no query … relevant"),
    ],
)
def test_broken_rows_are_named_by_file_and_row(nano: Path, subset: str, columns: dict, message: str) -> None:
    path = write(nano, subset, "NanoSampleNb", columns)
    with refused(str(path), message):
        load_nanobeir(nano, "sample")


def test_invalid_utf8_in_parquet_is_named_by_row(nano: Path) -> None:
    broken = pa.StringArray.from_buffers(2, pa.py_buffer(b"\x00\0\0\0\x01\0\0\0\x02\0\0\0"), pa.py_buffer(b"x\xe5"))
    path = write(nano, "corpus", "NanoSampleNb", {"_id": ["a", "b"], "text": broken})
    with refused(str(path), "row 2", "UTF-8"):
        load_nanobeir(nano, "sample")


@pytest.mark.parametrize(("kept", "message"), [(0, "empty"), (-20, "complete parquet")])
def test_truncated_parquet_is_refused(nano: Path, kept: int, message: str) -> None:
    path = nano / QRELS
    path.write_bytes(path.read_bytes()[:kept])
    with refused(str(path), message):
        load_nanobeir(nano, "sample")


def test_missing_split_or_folder_is_named(nano: Path) -> None:
    (nano / QRELS).unlink()
    with refused("qrels", "no file", "NanoSampleNb"):
        load_nanobeir(nano, "sample")
    with refused("corpus", "no such folder"):
        load_nanobeir(nano / "elsewhere", "sample")
    (nano / "qrels" / "NanoSampleSv-00000-of-00001.parquet").unlink()
    with refused("qrels", "no parquet file"):
        load_nanobeir(nano, "sample")


def test_a_split_that_does_not_exist_is_refused_with_those_that_do(nano: Path) -> None:
    with refused(str(nano), "no split 'NanoSampleNo'", "NanoSampleNb, NanoSampleSv"):
        load_sets(nano, "sample", "nanobeir", split="NanoSampleNo")
    with refused(str(nano), "no split ''"):
        load_sets(nano, "sample", "nanobeir", split="")
    [found] = load_sets(nano, "sample", "nanobeir", split="NanoSampleSv")
    assert found.name == "NanoSampleSv"


@pytest.mark.parametrize("lacking", ["corpus", "queries", "qrels"])
def test_a_split_that_one_folder_lacks_is_refused_only_if_it_is_wanted(nano: Path, lacking: str) -> None:
    (nano / lacking / "NanoSampleNb-00000-of-00001.parquet").unlink()
    with refused(lacking, "no file", "NanoSampleNb", "complete splits: NanoSampleSv"):
        load_sets(nano, "sample", "nanobeir", split="NanoSampleNb")
    assert [each.name for each in load_sets(nano, "sample", "nanobeir", split="NanoSampleSv")] == ["NanoSampleSv"]


def test_an_empty_split_of_a_beir_folder_is_not_its_test_split(beir: Path) -> None:
    with refused("qrels/.tsv", "no such file", ": test"):
        load_sets(beir, "mine", "beir", split="")


def with_unknown_ids(folder: Path, kind: str, known: int, queries: int = 0, documents: int = 0) -> None:
    """Write a set whose qrels have this many rows with known ids, with an unknown query, with an unknown document."""
    pairs = [(f"q{i}", f"d{i}") for i in range(known)] + [(f"gone{i}", "d0") for i in range(queries)]
    pairs += [("q0", f"lost{i}") for i in range(documents)]
    texts = {f"{letter}{i}": f"tekst {i}" for letter in "qd" for i in range(known)}
    rows = {part: {key: text for key, text in texts.items() if key[0] == part[0].replace("c", "d")} for part in ("queries", "corpus")}
    if kind == "beir":
        for part, by_id in rows.items():
            (folder / f"{part}.jsonl").write_text("".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in by_id.items()))
        (folder / "qrels").mkdir()
        (folder / "qrels" / "test.tsv").write_text(HEADER + "".join(f"{query}\t{document}\t1\n" for query, document in pairs))
        return
    for part, by_id in rows.items():
        write(folder, part, "NanoX", {"_id": list(by_id), "text": list(by_id.values())})
    write(folder, "qrels", "NanoX", {"query-id": [query for query, _ in pairs], "corpus-id": [document for _, document in pairs]})


@pytest.mark.parametrize("kind", ["beir", "nanobeir"])
def test_a_few_qrels_that_name_unknown_ids_are_ignored_and_counted(kind: str, tmp_path: Path) -> None:
    with_unknown_ids(tmp_path, kind, known=40, queries=1, documents=2)
    [found] = load_sets(tmp_path, "x", kind)
    assert found.unknown_ids == 3 and len(found.queries) == 40
    assert found.qrels["q0"] == {"d0": 1.0}
    assert "3 of 43 rows of the qrels name unknown ids (query 'gone0', document 'lost0', document 'lost1')" in found.remarks()


@pytest.mark.parametrize("kind", ["beir", "nanobeir"])
def test_many_qrels_that_name_unknown_ids_are_refused_unless_the_set_allows_them(kind: str, tmp_path: Path) -> None:
    with_unknown_ids(tmp_path, kind, known=40, queries=30, documents=30)
    with refused("qrels", "query 'gone0'", "60 of 100 rows", "10%", "unknown_ids") as raised:
        load_sets(tmp_path, "x", kind)
    assert "gone4" in str(raised.value) and "gone5" not in str(raised.value)
    assert load_sets(tmp_path, "x", kind, unknown_ids=0.6)[0].unknown_ids == 60


@pytest.mark.parametrize("kind", ["beir", "nanobeir"])
def test_unknown_ids_can_be_forbidden(kind: str, tmp_path: Path) -> None:
    with_unknown_ids(tmp_path, kind, known=40, documents=1)
    with refused("qrels", "document 'lost0'"):
        load_sets(tmp_path, "x", kind, unknown_ids=0.0)


def arguments(kind: str, folder: Path, titles: str = "debatt", relevant: str = "b", numbered: bool = False) -> None:
    """Write arguments a0 … that are both queries and documents, each with a counter-argument b0 …; or ids by number, of different texts."""
    count = 6
    texts = {f"a{i}": f"argument {i} om fjellet" for i in range(count)} | {f"b{i}": f"svar på argument {i}" for i in range(count)}
    queries = {str(i) if numbered else f"a{i}": texts[f"a{i}"] for i in range(count)}
    corpus = {str(place): text for place, text in enumerate(reversed(texts.values()))} if numbered else texts
    answers = {query: str(count - 1 - i) if numbered else f"{relevant}{i}" for i, query in enumerate(queries)}
    if kind == "beir":
        (folder / "qrels").mkdir()
        (folder / "queries.jsonl").write_text("".join(json.dumps({"_id": key, "text": text}) + "\n" for key, text in queries.items()))
        rows = [{"_id": key, "title": titles, "text": text} for key, text in corpus.items()]
        (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "qrels" / "test.tsv").write_text(HEADER + "".join(f"{query}\t{answer}\t1\n" for query, answer in answers.items()))
        return
    write(folder, "queries", "NanoX", {"_id": list(queries), "text": list(queries.values())})
    write(folder, "corpus", "NanoX", {"_id": list(corpus), "title": [titles] * len(corpus), "text": list(corpus.values())})
    write(folder, "qrels", "NanoX", {"query-id": list(answers), "corpus-id": list(answers.values())})


@pytest.mark.parametrize("titles", ["debatt", ""])
@pytest.mark.parametrize("kind", ["beir", "nanobeir"])
def test_a_query_that_is_a_document_is_not_among_its_own_results(kind: str, titles: str, tmp_path: Path) -> None:
    arguments(kind, tmp_path, titles)
    [found] = load_sets(tmp_path, "x", kind)
    assert found.own == set(found.queries)
    run = retrieve(found)
    assert all(query not in documents and f"b{query[1:]}" in documents for query, documents in run.items())
    assert "6 queries are documents too and left out of their own results" in found.remarks()


@pytest.mark.parametrize("kind", ["beir", "nanobeir"])
def test_ids_that_are_the_same_by_chance_leave_nothing_out(kind: str, tmp_path: Path) -> None:
    arguments(kind, tmp_path, numbered=True)
    [found] = load_sets(tmp_path, "x", kind)
    assert found.own == frozenset() and found.remarks() == ""
    assert set(found.queries) < set(found.corpus)


@pytest.mark.parametrize("kind", ["beir", "nanobeir"])
def test_a_document_that_is_relevant_for_itself_stays(kind: str, tmp_path: Path) -> None:
    arguments(kind, tmp_path, relevant="a")
    assert load_sets(tmp_path, "x", kind)[0].own == frozenset()


@pytest.mark.parametrize("name", RESERVED)
def test_a_split_with_the_name_of_a_mean_is_told_apart_by_its_entry(tmp_path: Path, name: str) -> None:
    write(tmp_path, "corpus", name, {"_id": ["a"], "text": ["x"]})
    write(tmp_path, "queries", name, {"_id": ["q"], "text": ["x"]})
    write(tmp_path, "qrels", name, {"query-id": ["q"], "corpus-id": ["a"]})
    assert [each.name for each in distinct(load_nanobeir(tmp_path, "mine"))] == [f"mine/{name}"]


def test_a_corpus_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "corpus", "NanoNQ", {"_id": [str(i) for i in range(5000)], "text": ["tekst"] * 5000})
    write(tmp_path, "queries", "NanoNQ", {"_id": ["q"], "text": ["x"]})
    write(tmp_path, "qrels", "NanoNQ", {"query-id": ["q"], "corpus-id": ["1"]})
    data = bytearray(path.read_bytes())
    data[4:400] = b"\xff" * 396
    path.write_bytes(data)
    with refused(str(path), "complete parquet"):
        load_nanobeir(tmp_path, "nanobeir")
