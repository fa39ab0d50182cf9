"""The pictures of an evaluation: the same bytes every time, small, with nothing on top of the data, whatever the names and texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from stages.evaluate.examples import Example
from stages.evaluate.pictures import draw_evaluation, draw_explanations
from stages.evaluate.summary import SetResult
from stages.evaluate.terms import Explanation, Representation, Term, matches
from tests.drawn import drawn


def explanation(latent: bool = False, active: int = 20) -> Explanation:
    text = "Koster $5 & $10_a^{"
    words = ("tariffavtaleforhandlinger",) if latent else ()
    query = tuple(Term(d, f"${d}", 2.0 - d / 20, expansion=d % 3 == 0, words=words) for d in range(active))
    document = tuple(Term(d, f"${d}", 1.0 + d / 20, expansion=d % 2 == 0, words=words) for d in range(active // 2, 2 * active))
    sides = Representation(text, "query", 99, query, (), latent), Representation(text, "document", 99, document, (), latent)
    return Explanation(Example("set" * 20, f"{text} " * 40, f"{text} " * 40, 3, 100), *sides, tuple(matches(*sides)))


def result(number: int, ndcg: float = 1.0, **more: float) -> SetResult:
    return SetResult(f"MultilingualNanoNQRetrieval/no/{number}", False, {"ndcg@10": ndcg, **more}, 0.99, 6000, 2_000_000)


EXPLANATIONS = {"splade": [explanation()] * 4, "csr": [explanation(latent=True)] * 3, "no weights": [explanation(active=0)], "none": []}
DENSE = {"dense_ndcg@10": 1.0, "ndcg@10_at_8_dims": 0.5, "ndcg@10_at_64_dims": 0.9, "dead_latents": 0.1}
HYBRIDS = {f"hybrid_{name}_ndcg@10": 1.0 for name in ("sparse_dense", "bm25_dense", "sparse_bm25")}
EVERY = {**DENSE, "base_ndcg@10": 0.8, "bm25_stemmed_ndcg@10": 0.9, **HYBRIDS}
RESULTS = {"1": [result(1)], "3": [result(n, 0.0) for n in range(3)], "12": [result(n) for n in range(12)], "csr": [result(1, **DENSE)]}
RESULTS |= {"every system": [result(n, **EVERY) for n in range(5)]}
PICTURES: list[tuple[Callable[..., None], Any]] = [(draw_explanations, each) for each in EXPLANATIONS.values()]
PICTURES += [(draw_evaluation, each) for each in RESULTS.values()]


@pytest.mark.parametrize(("draw", "shown"), PICTURES, ids=[*EXPLANATIONS, *RESULTS])
def test_a_picture_is_small_and_has_the_same_bytes_every_time(draw: Callable[..., None], shown: Any, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw(shown, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size < 60_000
    with Image.open(tmp_path / "one.png") as image:
        assert not image.info  # neither date nor version


@pytest.mark.parametrize(("draw", "shown"), PICTURES, ids=[*EXPLANATIONS, *RESULTS])
def test_legend_and_texts_lie_beside_the_data(draw: Callable[..., None], shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn(monkeypatch, "stages.evaluate.pictures", draw, shown)
    [legend] = figure.legends
    for axis in figure.axes:
        assert not legend.get_window_extent().overlaps(axis.get_window_extent())
        bars = [bar.get_window_extent() for bar in axis.patches if bar.get_width()]
        texts = [text.get_window_extent() for text in axis.texts]
        assert not [text for text in texts if text.count_overlaps(bars)]
        assert all(figure.bbox.x0 <= text.x0 and text.x1 <= figure.bbox.x1 for text in texts)


@pytest.mark.parametrize("results", RESULTS.values(), ids=RESULTS)
def test_the_axis_of_a_score_ends_at_one_and_every_set_has_its_size(results: list[SetResult], monkeypatch: pytest.MonkeyPatch) -> None:
    [axis] = drawn(monkeypatch, "stages.evaluate.pictures", draw_evaluation, results).axes
    assert axis.get_xlim() == (0, 1)
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert all("6,000 queries, 2,000,000 documents" in label for label in labels[: len(results)])
    assert labels[len(results) :] == ([f"mean\nn = {len(results)} sets"] if len(results) > 1 else [])
