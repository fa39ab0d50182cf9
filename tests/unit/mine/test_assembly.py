"""Hard negatives and teacher scores for a formatted set: by BM25, a dense and a sparse encoder, judged and scored by teachers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from stages.mine import __main__ as stage
from stages.mine import assembly
from stages.mine.assembly import mine
from stages.mine.judge import Judge
from stages.mine.negatives import Rules
from stages.mine.teacher import teacher
from stages.mine.vectors import BM25, Encoder, RowNumbers
from stages.retrieval.bm25 import retrieve
from stages.retrieval.sets import RetrievalSet
from stages.retrieval.treatment import UNTREATED, Treatment
from stages.retrieval.windows import Windows
from stages.runtime.files import mark_unused
from tests.refused import refused
from tests.tiny_models import save

RULES = Rules(negatives=2, relative_margin=0.0, range_min=0, range_max=20)
TOWNS = ["oslo", "bergen", "bodø", "voss", "tromsø", "molde"]
Row = tuple[str, str, str | None]
ROWS: list[Row] = [(f"hvor ligger {town} i norge", f"{town} ligger langt nord", None) for town in TOWNS]


@pytest.fixture
def formatted(tmp_path: Path) -> Callable[..., Path]:
    """Writes a formatted set of (anchor, positive, negative); returns its train.parquet."""

    def write(rows: list[Row], **columns: Any) -> Path:
        anchors, positives, negatives = zip(*rows, strict=True)
        table = {"anchor": anchors, "positive": positives, "negative": pa.array(negatives, pa.string()), **columns}
        path = tmp_path / "formatted" / "x" / "train.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(table | {"source": ["x"] * len(rows), "language": ["nb"] * len(rows)}), path)
        return path

    return write


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny models sparse, dense and cross-encoder."""
    folder = tmp_path_factory.mktemp("models")
    base = save(folder / "sparse", "splade").with_name("sparse-base")
    SentenceTransformer(modules=[Transformer(str(base)), Pooling(16)]).save_pretrained(str(folder / "dense"))
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "num_labels": 1}
    tokenizer = AutoTokenizer.from_pretrained(base)
    BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **shape)).save_pretrained(folder / "cross-encoder")
    tokenizer.save_pretrained(folder / "cross-encoder")
    return folder


def mined(path: Path, **options: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
    target = path.parents[2] / "mined" / "x"
    report = mine(path, target, "x", **options)
    assert json.loads((target / "report.json").read_text()) == report
    return pq.read_table(target / "train.parquet").to_pylist(), report


def negatives(row: dict[str, Any]) -> list[str]:
    return [text for name, text in row.items() if name.startswith("negative") and text is not None]


def test_bm25_finds_the_texts_that_share_words_and_keeps_every_row_in_its_order(formatted: Callable[..., Path]) -> None:
    given: list[Row] = [*ROWS, ("helt annet", "uten felles ord", None)]
    rows, report = mined(formatted(given), models=[RowNumbers(BM25())], rules=RULES)
    assert [(row["anchor"], row["positive"]) for row in rows] == [(anchor, positive) for anchor, positive, _ in given]
    assert [len(negatives(row)) for row in rows] == [2] * 6 + [0]
    assert all("ligger langt nord" in text and text != row["positive"] for row in rows for text in negatives(row))
    assert report == {"rows": 7, "negatives": 12, "without": 1}
    assert {row["source"] for row in rows} == {"x"} and {row["language"] for row in rows} == {"nb"}


def test_the_answers_stay_with_their_rows(formatted: Callable[..., Path]) -> None:
    rows, _ = mined(formatted(ROWS, answer=TOWNS), models=[RowNumbers(BM25())], rules=RULES)
    assert [row["answer"] for row in rows] == TOWNS


def test_the_scores_are_those_of_the_bm25_baseline() -> None:
    documents = [positive for _, positive, _ in ROWS] + ["norge norge", "ingenting"]
    queries = [anchor for anchor, _, _ in ROWS] + ["norge norge oslo", "finnes ikke"]
    bm25 = RowNumbers(BM25())
    rows = bm25.encode_document(documents, 8)
    found = bm25.similarity(bm25.encode_query(queries, 8), rows).numpy()
    corpus, asked = ({str(i): text for i, text in enumerate(texts)} for texts in (documents, queries))
    run = retrieve(RetrievalSet("x", "nb", asked, corpus, {}, 0, "x"))
    expected = np.full(found.shape, -np.inf, dtype=np.float32)
    for query, hits in run.items():
        for document, score in hits.items():
            expected[int(query), int(document)] = score
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_positive_of_the_same_anchor_is_never_its_negative_in_any_case(
    formatted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "BLOCK_ROWS", 1)
    monkeypatch.setattr("stages.rows.parquet.READ_ROWS", 3)  # blocks of three rows: the second answer stands in the other block
    rows: list[Row] = [
        ("hvor ligger oslo", "oslo ligger øst", "oslo ligger nord"),
        ("hvor ligger voss", "VOSS ligger vest", None),
        ("Hvor ligger Oslo nå", "Oslo ligger sør", None),
        ("hvor ligger OSLO", "oslo ligger SØR", None),
        ("hvor ligger bodø", "bodø ligger her", None),
    ]
    result, _ = mined(formatted(rows), models=[RowNumbers(BM25())], rules=Rules(9, 0.0, 0, 20))
    assert "Oslo ligger sør" not in negatives(result[0])
    assert negatives(result[0])[0] == "oslo ligger nord"
    for row in result:
        texts = [text.casefold() for text in (row["anchor"], row["positive"], *negatives(row))]
        assert len(set(texts)) == len(texts)


def test_the_margin_leaves_out_what_scores_as_high_as_the_positive(formatted: Callable[..., Path]) -> None:
    twins: list[Row] = [("oslo by", "oslo by nord", None), ("noe helt annet", "oslo by sør", None), ("tredje", "oslo elv stor", None)]
    strict, loose = (mined(formatted(twins), models=[RowNumbers(BM25())], rules=Rules(2, margin, 0, 20))[0] for margin in (0.05, 0.0))
    assert negatives(strict[0]) == ["oslo elv stor"]
    assert "oslo by sør" in negatives(loose[0])


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_an_encoder_finds_what_it_ranks_highest(kind: str, models: Path, formatted: Callable[..., Path]) -> None:
    dense = SentenceTransformer(str(models / "dense"))
    sparse = SparseEncoder(str(models / "sparse"))
    model = dense if kind == "dense" else RowNumbers(Encoder(sparse))
    rules = Rules(negatives=1, relative_margin=0.0, range_min=0, range_max=6)
    rows, report = mined(formatted(ROWS), models=[model], rules=rules)
    encoder: Any = dense if kind == "dense" else sparse
    scores = encoder.similarity(encoder.encode_query([a for a, _, _ in ROWS]), encoder.encode_document([p for _, p, _ in ROWS]))
    scores = scores.to_dense().numpy() if kind == "sparse" else scores.numpy()
    assert report["negatives"] > 0
    for number, row in enumerate(rows):
        below = [i for i in range(len(ROWS)) if scores[number, i] <= scores[number, number] and i != number]
        best = max(below, key=lambda i: scores[number, i], default=None)
        assert negatives(row) == ([] if best is None else [ROWS[best][1]])


@pytest.mark.parametrize("treatment", [UNTREATED, Treatment("max_score", overlap=2), Treatment("max_vector", overlap=2)])
def test_a_sparse_miner_sees_all_of_a_long_text_if_its_own_file_says_so(treatment: Treatment, models: Path) -> None:
    sparse, long = SparseEncoder(str(models / "sparse")), "0 1 2 " * 30 + "øåæ"  # the model takes 62 letters
    windows = Windows.of(sparse, treatment)
    assert windows
    [parts] = [[long]] if treatment is UNTREATED else windows.split([long])
    miner = RowNumbers(Encoder(sparse, treatment))
    rows = miner.encode_document([long, "kort"], 8)
    found = miner.similarity(miner.encode_query(["øåæ 0"], 8), rows)[0, 0]
    vector = sparse.encode_document(parts, convert_to_sparse_tensor=False).amax(dim=0)
    assert found == pytest.approx(float(vector @ sparse.encode_query("øåæ 0", convert_to_sparse_tensor=False)), rel=1e-5)


def test_a_teacher_scores_the_positive_and_every_negative(models: Path, formatted: Callable[..., Path]) -> None:
    teach = teacher(CrossEncoder(str(models / "cross-encoder")), Treatment("max_score", 50))
    rules = Rules(negatives=2, relative_margin=0.2, range_min=0, range_max=20)
    rows, report = mined(formatted(ROWS), models=[RowNumbers(BM25())], rules=rules, judge=Judge([(teach, 1.0)]), scored=True)
    assert report["judged_relevant"] > 0 and report["negatives"] > 0
    for row in rows:
        texts = [row["positive"], *negatives(row)]
        logits = teach([(row["anchor"], text) for text in texts])
        assert len(row["scores"]) == len(texts) and all(score < row["scores"][0] for score in row["scores"][1:])
        if len(texts) > 2:  # one scale for all rows: differences are in proportion
            ours, theirs = np.diff(row["scores"]), np.diff(logits)
            assert ours[0] / ours[1] == pytest.approx(theirs[0] / theirs[1], rel=0.05)


def test_scores_alone_leave_the_rows_as_they_are(models: Path, formatted: Callable[..., Path]) -> None:
    own: list[Row] = [("a", "b", "c"), ("d", "e", None)]
    teach = teacher(CrossEncoder(str(models / "cross-encoder")), Treatment("max_score", 50))
    rows, report = mined(formatted(own), judge=Judge([(teach, 1.0)]), scored=True)
    assert [(row["anchor"], row["positive"], row["negative"], len(row["scores"])) for row in rows] == [
        ("a", "b", "c", 2),
        ("d", "e", None, 1),
    ]
    assert report == {"rows": 2, "negatives": 0, "without": 0}


def test_a_row_with_a_text_that_has_no_score_stays_without_scores(formatted: Callable[..., Path]) -> None:
    def teach(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        return np.array([float("nan") if text == "e" else len(text) for _, text in pairs])

    rows, _ = mined(formatted([("a", "b", "ccc"), ("d", "e", "f")]), judge=Judge([(teach, 1.0)]), scored=True)
    assert [row["scores"] is None for row in rows] == [False, True]


def test_bm25_and_a_model_find_negatives_in_turn(models: Path, formatted: Callable[..., Path]) -> None:
    """The judge takes every text, so that the first of each searcher comes first."""

    def teach(pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        return np.array([float(text.split()[0] in query) for query, text in pairs])

    searchers = [RowNumbers(BM25()), SentenceTransformer(str(models / "dense"))]
    rules = Rules(negatives=2, relative_margin=0.0, range_min=0, range_max=6)
    alone = [mined(formatted(ROWS), models=[one], rules=rules, judge=Judge([(teach, 1.0)]))[0] for one in searchers]
    both, report = mined(formatted(ROWS), models=searchers, rules=rules, judge=Judge([(teach, 1.0)]))
    for row, *found in zip(both, *alone, strict=True):
        assert set(negatives(row)) == {negatives(found[0])[0], negatives(found[1])[0]} or negatives(found[0])[0] == negatives(found[1])[0]
        assert "scores" not in row
    assert report["negatives"] == 12


def test_scores_that_new_negatives_would_lack_are_refused(formatted: Callable[..., Path]) -> None:
    path = formatted([("a", "b", "c")], scores=[[1.0, 0.0]])
    with refused("mining.datasets", "x brings scores"):
        mined(path, models=[RowNumbers(BM25())], rules=RULES)


LIMITS = {"negatives": 1, "relative_margin": 0.0, "range_min": 0, "range_max": 9}
TRUST = {"trust_remote_code": False}
SEEN = {"treatment": {"long_documents": "max_score", "window": 32, "overlap": 4}}
TEACHERS = {
    "teachers": [
        {"key": f"mining.teachers.{place}.model", "folder": name, "weight": 1.0, "options": TRUST}
        for place, name in enumerate(("cross-encoder", "dense", "sparse"))
    ]
}
BM25_TEACHER: dict[str, Any] = {"weight": 2.0, "bm25": {"k1": 0.9}}


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"datasets": []}, ["unused.txt"]),
        ({"datasets": ["x"], "method": "bm25", **LIMITS}, ["x", "x/report.json", "x/train.parquet"]),
        ({"datasets": ["x"], "method": "model", **LIMITS, **SEEN, **TEACHERS, "miner": TRUST}, ["x", "x/report.json", "x/train.parquet"]),
        ({"datasets": ["x"], "method": "both", **LIMITS, **SEEN, "miner": TRUST}, ["x", "x/report.json", "x/train.parquet"]),
        ({"datasets": ["x"], "method": "none", "teachers": [BM25_TEACHER]}, ["x", "x/report.json", "x/train.parquet"]),
        (
            {"datasets": ["x"], "method": "bm25", **LIMITS, **SEEN, "teachers": [BM25_TEACHER, *TEACHERS["teachers"]]},
            ["x", "x/report.json", "x/train.parquet"],
        ),
    ],
)
def test_the_stage_does_what_its_settings_say(
    settings: dict[str, Any],
    found: list[str],
    models: Path,
    formatted: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    formatted(ROWS)
    mined = tmp_path / "mined"
    folders = {"FORMATTED": tmp_path / "formatted", "MINED": mined, "KEPT": tmp_path / "kept", "SCORES": tmp_path / "scores"}
    for name, folder in folders.items():
        monkeypatch.setattr(stage, name, folder)
    monkeypatch.setattr(stage, "MINER", models / "sparse")
    monkeypatch.setattr(stage, "TEACHERS", models)
    monkeypatch.setattr(stage, "read_resolved", lambda stage: dict(settings))
    stage.main()
    assert sorted(path.relative_to(mined).as_posix() for path in mined.rglob("*")) == found
    teachers = settings.get("teachers", ())
    assert len([*tmp_path.glob("scores/*.sqlite")]) == len([teacher for teacher in teachers if "folder" in teacher])
    if found != ["unused.txt"]:
        assert ("scores" in pq.read_schema(mined / "x" / "train.parquet").names) is bool(teachers)


def test_mix_takes_the_mined_rows_where_there_are_some_else_the_formatted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.mix import __main__ as mix

    monkeypatch.setattr(mix, "FORMATTED", tmp_path / "formatted")
    monkeypatch.setattr(mix, "MINED", tmp_path / "mined")
    mark_unused(tmp_path / "mined")
    assert mix.source("x", 5).path == tmp_path / "formatted" / "x" / "train.parquet"
    (tmp_path / "mined" / "x").mkdir()
    (tmp_path / "mined" / "x" / "train.parquet").touch()
    taken = mix.source("x", 5)
    assert (taken.path, taken.mined, taken.max_rows) == (tmp_path / "mined" / "x" / "train.parquet", True, 5)


def test_an_anchor_that_is_a_document_too_is_not_its_own_negative(formatted: Callable[..., Path], tmp_path: Path) -> None:
    """As in ArguAna: each argument is the positive of another one, and its document has a title before the text."""
    arguments = [f"argument om {town} og været der" for town in TOWNS]
    rows: list[Row] = [(text, f"debatt {other}", None) for text, other in zip(arguments, arguments[1:] + arguments[:1], strict=True)]
    rules = Rules(negatives=5, relative_margin=-10.0, range_min=0, range_max=20)
    mine(formatted(rows), tmp_path / "mined", "x", models=[RowNumbers(BM25())], rules=rules)
    mined = pq.read_table(tmp_path / "mined" / "train.parquet").to_pylist()
    for row in mined:
        negatives = [row[name] for name in row if name.startswith("negative") and row[name]]
        assert negatives and f"debatt {row['anchor']}" not in negatives
