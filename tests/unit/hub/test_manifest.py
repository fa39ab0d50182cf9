"""Licences and citations are read from real-world cards, and a push respects the licences."""

from pathlib import Path

import pytest

from stages.config.settings import Provenance
from stages.hub.manifest import citation, forbids_commercial_use, licence, manifest, read_licence, write_manifest
from stages.push.__main__ import licence_of, refuse_non_commercial
from tests.refused import refused
from tests.unit.format.sources.conftest import read_all


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("license: CC-BY-4.0", "cc-by-4.0"),
        ("license:\n- mit\n- cc-by-nc-4.0", "mit, cc-by-nc-4.0"),
        ("license: other\nlicense_name: My-NC-1.0", "my-nc-1.0"),
        ("license: other", "other"),
        ("language: no\nlicense: []", None),
        ("released: 2024-99-99\nlicense: mit", None),
        ("license: [mit", None),
        ("- license", None),
    ],
)
def test_the_licence_is_that_of_the_header(header: str, expected: str | None) -> None:
    assert licence(f"---\n{header}\n---\nlicense: apache-2.0") == expected
    assert licence(f"\ufeff---\r\n{header}\r\n---\r\n".replace("\r\n", "\n")) == expected


def test_a_card_without_a_header_has_no_licence() -> None:
    assert licence("# A set\nlicense: mit\n") is None
    assert licence("") is None


def test_citations_are_whole_bibtex_entries() -> None:
    first, second = "@inproceedings{a,\n  title = {{A} b},\n}", "@misc{b, url={x}}"
    assert citation(f"# Cite\n```bibtex\n{first}\n```\nor\n  {second}\nmail a@b{{c}}\n@broken{{d, title={{e}}") == f"{first}\n\n{second}"
    assert citation("nothing to cite") is None


@pytest.mark.parametrize(
    ("name", "forbids"),
    [
        ("cc-by-nc-4.0", True), ("cc-by-nc-sa-4.0", True), ("mit, cc-by-nc-4.0", True), ("CC-BY-NC", True), ("my-non-commercial", True),
        ("cc-by-4.0", False), ("cc0-1.0", False), ("ncsa", False), ("odc-by", False), (None, False),
    ],
)  # fmt: skip
def test_licences_that_forbid_commercial_use_are_known_by_name(name: str | None, forbids: bool) -> None:
    assert forbids_commercial_use(name) is forbids


def test_the_manifest_does_not_list_itself(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    write_manifest(tmp_path, manifest(tmp_path, kind="beir"))
    before = (tmp_path / "manifest.json").read_bytes()
    write_manifest(tmp_path, manifest(tmp_path, kind="beir"))
    assert (tmp_path / "manifest.json").read_bytes() == before
    assert read_licence(tmp_path) == "mit"
    assert read_licence(tmp_path / "nowhere") is None


def test_neither_manifest_nor_card_is_read_as_rows(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"anchor": "a", "positive": "p"}]')
    (tmp_path / "README.md").write_text("# A set")
    write_manifest(tmp_path, manifest(tmp_path, kind="triplets"))
    assert [row["anchor"] for row in read_all("triplets", tmp_path)[0]] == ["a"]


def test_a_push_names_the_sets_that_forbid_commercial_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder, name in {
        "data/formatted/nli": "cc-by-nc-4.0",
        "data/formatted/qa": "cc0-1.0",
        "data/formatted/unused": "cc-by-nc-4.0",
        "models/base": "mit",
    }.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "README.md").write_text(f"---\nlicense: {name}\n---\n")
        write_manifest(tmp_path / folder, manifest(tmp_path / folder, kind=None))
    formatted = Path("data/formatted")
    refuse_non_commercial(trained("qa", "sample"), formatted)
    with refused("hub.allow_non_commercial", "datasets.nli (cc-by-nc-4.0)"):
        refuse_non_commercial(trained("nli", "qa", "sample"), formatted)
    refuse_non_commercial(trained("nli", "qa", license="mit"), formatted)
    with refused("hub.allow_non_commercial", "datasets.sample (cc-by-nc-sa-4.0)"):
        refuse_non_commercial(trained("sample", license="CC-BY-NC-SA-4.0"), formatted)


def test_a_push_names_a_teacher_that_forbids_commercial_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (folder := tmp_path / "models" / "teachers" / "reranker").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    write_manifest(folder, manifest(folder, kind=None))
    with refused("hub.allow_non_commercial", "mining.teachers, reranker (cc-by-nc-4.0)"):
        refuse_non_commercial({}, Path("data/formatted"))


def trained(*names: str, license: str | None = None) -> dict[str, Provenance]:
    return {name: Provenance(repo=None, revision=None, sample=False, license=license) for name in names}


def test_the_licence_of_params_yaml_overrules_the_manifests(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    write_manifest(tmp_path, manifest(tmp_path, kind="squad"))
    [given], [none] = trained("x", license="CC-BY-4.0").values(), trained("x").values()
    assert (licence_of(given, tmp_path), licence_of(none, tmp_path), licence_of(none, tmp_path / "nowhere")) == ("cc-by-4.0", "mit", None)
