"""Every set has its source and licence, as far as the files know them."""

import json
from pathlib import Path

from stages.report.origins import OWN_LICENCE, evaluation_sets, training_sets, versions


def test_training_sets_have_source_licence_and_the_rows_left_out(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "manifest.json").write_text(json.dumps({"license": "cc-by-4.0"}), encoding="utf-8")
    origins = {
        "hub": {"repo": "some/one", "revision": "0123456789", "sample": False},
        "own": {"repo": None, "revision": None, "sample": False, "license": "mit"},
        "built-in": {"repo": None, "revision": None, "sample": True},
    }
    sources = {name: {"used": 5, "tail_dropped": 2, "unused": 0} for name in origins}
    hub, own, sample = training_sets(origins, {"hub": {"train": {"read": 9, "dropped": {"duplicate": 2}}}}, {"sources": sources}, tmp_path)
    assert (hub.source, hub.licence, hub.read, hub.used) == ("some/one at 0123456", "cc-by-4.0", 9, 5)
    assert hub.left_out == {"duplicate": 2, "too few for one more batch": 2}
    assert (own.source, own.licence, own.read) == ("local", "mit", None)
    assert (sample.source, sample.licence) == ("built-in sample", OWN_LICENCE)


def test_evaluation_sets_include_mteb_tasks(tmp_path: Path) -> None:
    origins = {"no": {"benchmark": "NanoBEIR-multilingual", "subset": "no"}}
    found = evaluation_sets(origins, {"tasks": ["NorQuadRetrieval"], "path": "../mteb"}, tmp_path)
    assert [(each.name, each.source) for each in found] == [("no", "NanoBEIR-multilingual, no"), ("NorQuadRetrieval", "local")]


def test_versions_are_those_of_the_packages_that_are_required() -> None:
    found = versions("jinja2")
    assert {"Python", "system", "MarkupSafe"} <= set(found)
    assert set(versions("no-such-package")) == {"Python", "system"}
