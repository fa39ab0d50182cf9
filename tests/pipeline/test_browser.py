"""The report in a real browser: headless Chromium, which `make test-slow` sets up."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stages.report.page import render
from tests.made_run import HOSTILE, SETTINGS, made_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

CONTRAST = """() => {
  const channels = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
    .map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = colour => channels(colour).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (colour !== 'rgba(0, 0, 0, 0)') return colour;
    }
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!own) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(element.closest('svg') ? style.fill : style.color), light(behind(element))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.textContent.trim().slice(0, 40)]);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    page = render(made_run(folder), settings=SETTINGS, git={"git_commit": "c" * 40}, now=datetime(2026, 11, 27, 12, 30), pending=["train"])
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(browser: "Browser", report: Path, scheme: str) -> "Iterator[Page]":
    """The report on a telephone; the test fails if the browser complains or asks for anything but the page."""
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)  # type: ignore[arg-type]
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda request: complaints.append(request.url) if request.url not in (report.as_uri(), "data:,") else None)
    opened.goto(report.as_uri())
    yield opened
    assert complaints == []
    context.close()


def test_the_page_is_drawn_and_its_texts_stay_texts(page: "Page") -> None:
    assert page.title() == "SPLADE: nDCG@10 0.600 – nordic-sparse"
    assert page.locator("script, img").count() == 0
    assert page.locator("summary").first.inner_text().count(HOSTILE) == 1
    charts = page.locator("svg")
    assert charts.count() > 5
    assert all(charts.nth(place).bounding_box()["width"] > 200 for place in range(charts.count()))  # type: ignore[index]


def test_a_telephone_does_not_scroll_sideways(page: "Page") -> None:
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_every_text_stands_out_from_what_is_behind_it(page: "Page", scheme: str) -> None:
    for details in page.locator("details").all():
        details.evaluate("element => element.open = true")
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    assert [(round(ratio, 2), text) for ratio, text in page.evaluate(CONTRAST) if ratio < 4.5] == []


def test_the_keyboard_reaches_the_scores_and_opens_a_query(page: "Page") -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the scores"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#scores"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert not page.locator("mark", has_text="fugl").nth(1).is_visible()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")
    assert page.locator("blockquote").first.is_visible()


def test_the_printed_page_shows_the_documents(page: "Page") -> None:
    page.emulate_media(media="print")
    assert page.locator("blockquote").first.is_visible()
