"""What README and docs/ point to exists: files, headings, settings."""

import re
from pathlib import Path

import pytest

from stages.config.schema import Params
from tests import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "tests/README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path) -> None:
    broken = []
    for link in re.findall(r"(?:\]\(|src=\")([^)\s\"]+)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not link.startswith("http") and not (target.exists() and (not anchor or anchor in headings(target))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_settings_exist(page: Path) -> None:
    sections = {name: field.annotation for name, field in Params.model_fields.items() if hasattr(field.annotation, "model_fields")}
    pattern = rf"(?:`|-S )({'|'.join(sections)})\.(\w+)(?![\w(])"
    named = re.findall(pattern, page.read_text(encoding="utf-8"))
    assert [f"{section}.{key}" for section, key in named if key not in sections[section].model_fields] == []
