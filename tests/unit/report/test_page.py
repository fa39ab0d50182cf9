"""The page stands alone, escapes its texts, and lacks only what the run lacks."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from stages.report.page import SECTIONS, Files, render
from tests import ROOT
from tests.made_run import HOSTILE, SETTINGS, made_run, scores, write

NOW = datetime(2026, 11, 27, 12, 30)
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Reads a page and checks that its elements nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self.open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.chdir(tmp_path)
    return made_run(tmp_path)


def page(files: Files, **more: Any) -> Page:
    given: dict[str, Any] = {"settings": SETTINGS, "git": {"git_commit": "c" * 40, "git_dirty": "true"}, "now": NOW} | more
    return Page(render(files, **given))


def test_a_run_is_shown_with_all_its_parts(files: Files) -> None:
    shown = page(files, pending=["train"]).text
    for part in (
        *SECTIONS.values(),
        "SPLADE: nDCG@10 0.600, 0.025 above BM25",
        "2026-11-27 12:30",
        "ccccccc with uncommitted changes",
        "train changed since",
        "+0.0500 ▲, significantly better",
        "Norwegian Bokmål 20.70000.60000.6500+0.0500 9.516.2",  # cells: queries, three systems, difference, active dimensions
        "someone/mine at 0123456",
        "cc-by-4.0",
        "100 duplicate, 4 too few",
        "loss.query_regularizer_weight",
        "NorQuadRetrieval",
        "Warning: the model is below BM25",
        "Python",
        "pydantic",
    ):
        assert part in shown, part
    assert "is missing" not in shown


def test_texts_of_a_data_set_are_escaped(files: Files) -> None:
    found = page(files)
    assert {tag for tag, _ in found.elements} & {"script", "img", "iframe", "object"} == set()
    assert HOSTILE in found.text


def test_the_page_needs_nothing_from_outside(files: Files) -> None:
    found = page(files)
    links = [value for _, attributes in found.elements for key in ("href", "src", "xlink:href") if (value := attributes.get(key))]
    assert all(link.startswith(("#", "data:,")) for link in links)
    policy = next(attributes["content"] for tag, attributes in found.elements if attributes.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy
    ids = Counter(attributes["id"] for _, attributes in found.elements if attributes.get("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_headings_are_in_order_and_tables_have_captions(files: Files) -> None:
    tags = [tag for tag, _ in page(files).elements]
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert tags.count("table") == tags.count("caption")
    assert all(attributes.get("scope") for tag, attributes in page(files).elements if tag == "th")


def test_a_text_has_its_language(files: Files) -> None:
    languages = Counter(attributes.get("lang") for _, attributes in page(files).elements if "lang" in attributes)
    assert languages == {"en": 1, "nb": 2 + 3}  # two queries, two documents of the one and one of the other


@pytest.mark.parametrize("name", ["curves", "slices", "queries", "data", "mix", "training", "formatted", "resolved"])
def test_a_part_whose_file_is_missing_is_one_line(name: str, files: Files) -> None:
    path = getattr(files, name)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    shown = page(files, git={})
    missing = {
        "curves": "curves.json",
        "slices": "slices.json",
        "queries": "metrics/queries",
        "mix": "mix.json",
        "training": "training.csv",
    }
    assert (f"{missing[name]} is missing" in shown.text) if name in missing else ("is missing" not in shown.text)


def test_the_scores_alone_make_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = Files(**{name: tmp_path / name for name in Files.__annotations__})
    plain = {"ndcg@10": 0.5, "bm25_ndcg@10": 0.4, "query_active_dims": 9.0, "corpus_active_dims": 16.0}
    write(files.evaluation, {"only": plain, "mean": plain})
    assert "nDCG@10 0.500, 0.100 above BM25" in page(files, git={}).text


def test_graded_searches_have_a_table_of_their_own(files: Files) -> None:
    assert "Graded product search" not in page(files).text
    row = scores(0.5, 0.4, 0.3, 0.01) | {f"{prefix}recall_exact@10": 0.25 for prefix in ("", "bm25_")}
    write(files.evaluation, {"shop": row, "mean": row})
    assert "Graded product search" in page(files).text


def test_no_library_for_models_is_loaded() -> None:
    loaded = "import stages.report.page, sys; print({'torch', 'transformers', 'pandas', 'mteb', 'mlflow'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=True, capture_output=True, text=True).stdout == "set()\n"


def test_csr_and_dense_and_hybrids_have_their_columns(files: Files) -> None:
    row = scores(0.5, 0.4, 0.3, 0.01) | {"dense_ndcg@10": 0.6, "hybrid_sparse_dense_ndcg@10": 0.65, "ndcg@10_at_8_dims": 0.4}
    write(files.evaluation, {"one": row, "two": row, "mean": row})
    shown = page(files, settings={"architecture": "csr", "profile": "own"})
    assert "CSR: nDCG@10 0.500" in shown.text
    assert all(part in shown.text for part in ("dense", "model + dense", "this model, other numbers of dimensions"))
