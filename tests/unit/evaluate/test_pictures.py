"""The picture of explanations: the same bytes every time, whatever the texts hold."""

from pathlib import Path

from PIL import Image

from stages.evaluate.examples import Example
from stages.evaluate.pictures import draw_explanations
from stages.evaluate.terms import Explanation, Representation, Term, matches


def made_up(latent: bool = False, active: int = 20) -> Explanation:
    text = "Koster $5 & $10_a^{"
    words = ("ord",) if latent else ()
    query = tuple(Term(d, f"${d}", 2.0 - d / 20, expansion=d % 3 == 0, words=words) for d in range(active))
    document = tuple(Term(d, f"${d}", 1.0 + d / 20, expansion=d % 2 == 0, words=words) for d in range(active // 2, 2 * active))
    sides = Representation(text, "query", 99, query, (), latent), Representation(text, "document", 99, document, (), latent)
    return Explanation(Example("set", text, f"{text} " * 40, 3, 100), *sides, tuple(matches(*sides)))


def test_the_picture_is_the_same_bytes_every_time_and_holds_no_date(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw_explanations([made_up()], tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as image:
        assert set(image.info) == {"dpi"}


def test_an_expansion_a_latent_and_a_text_without_weights_are_drawn(tmp_path: Path) -> None:
    pictures = {"splade": [made_up()], "csr": [made_up(latent=True)], "dead": [made_up(active=0)], "none": []}
    for name, explanations in pictures.items():
        draw_explanations(explanations, tmp_path / name)
    assert len({(tmp_path / name).read_bytes() for name in pictures}) == len(pictures)
