"""The dense base: words that occur in the same texts are similar, and the same texts give the same bytes."""

from pathlib import Path

from sentence_transformers import SentenceTransformer

from stages.make_base.dense import make_dense
from tests.conftest import SENTENCES


def test_words_that_occur_in_the_same_texts_are_similar(base: Path, tmp_path: Path) -> None:
    make_dense(base, SENTENCES, tmp_path, dimension=8, seed=1)
    ferry, quay, museum = SentenceTransformer(str(tmp_path)).encode(["ferja", "kaia", "museet"])
    assert ferry @ quay > 0.5 > ferry @ museum


def test_the_same_texts_give_the_same_base_and_repeated_texts_do_not_count(base: Path, tmp_path: Path) -> None:
    for name, texts in (("one", SENTENCES), ("two", SENTENCES + SENTENCES[:3])):
        make_dense(base, texts, tmp_path / name, dimension=64, seed=1)  # more dimensions than texts
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert Path("modules.json") in files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
