"""Where a test stands and where an example may: what tests/README.md and the house's rules promise of the layout."""

from tests import ROOT

SEVERAL = ["train/test_killed.py"]
"""Of several modules at once."""


def test_every_file_mirrors_a_module() -> None:
    named = {"main": "__main__", "init": "__init__"}
    lost = []
    for test in (ROOT / "tests/unit").glob("*/**/test_*.py"):
        place = test.relative_to(ROOT / "tests/unit")
        name = place.stem.removeprefix("test_")
        module = ROOT / "stages" / place.with_name(named.get(name, name))
        if not (module.with_suffix(".py").exists() or (module / "__init__.py").exists()):
            lost.append(str(place))
    assert lost == SEVERAL


def test_no_example_stands_where_pytest_passes_it_over() -> None:
    assert [path for path in (ROOT / "stages").rglob("__main__.py") if ">>> " in path.read_text(encoding="utf-8")] == []
