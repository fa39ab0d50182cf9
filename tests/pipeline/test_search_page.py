"""The search page in a real browser, with a real server on loopback."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import uvicorn
from sentence_transformers import SentenceTransformer, SparseEncoder

from stages.page.app import application
from tests.made_index import HTML, PAIRS, made_systems
from tests.unit.conftest import WORDS, bert, dense, splade

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow
__all__ = ["bert", "dense", "splade"]  # fixtures


@pytest.fixture(scope="module")
def address(splade: SparseEncoder, dense: SentenceTransformer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    app = application(made_systems(tmp_path_factory.mktemp("page"), splade, dense), [(PAIRS[0], "nb")])
    with socket.create_server(("127.0.0.1", 0)) as free:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [free]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{free.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(params=[(1280, "light"), (360, "dark")], ids=["desk", "telephone"])
def page(browser: "Browser", address: str, request: pytest.FixtureRequest) -> "Iterator[Page]":
    """The page; the test fails if the browser complains or asks for anything of another server."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(f"ran {HTML}: {dialog.message}"))
    opened.on("request", lambda one: None if one.url.startswith((address, "data:")) else complaints.append(one.url))
    opened.goto(address)
    opened.wait_for_selector("#examples button")
    yield opened
    assert complaints == []
    context.close()


def search(page: "Page", query: str) -> None:
    page.fill("#query", query)
    page.press("#query", "Enter")
    page.wait_for_function("query => document.querySelector('#status').textContent.startsWith('query encoded')", arg=query)


def test_an_example_gives_every_system_s_results_with_marked_terms(page: "Page") -> None:
    page.click("#examples button")
    page.wait_for_selector("li mark")
    assert [heading.split()[0] for heading in page.locator("#answers h2").all_inner_texts()] == ["sparse", "BM25", "dense", "hybrid"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is wider than the screen"


def test_html_in_texts_and_queries_is_shown(page: "Page") -> None:
    search(page, f"{WORDS[12]} {HTML}")
    assert HTML in page.locator("section:nth-child(2) li").first.inner_text()
    assert page.locator("li img").count() == 0


def test_the_slider_leaves_terms_out_and_the_filter_languages(page: "Page") -> None:
    search(page, PAIRS[14])
    page.evaluate("document.querySelector('#terms').value = 1; document.querySelector('#terms').dispatchEvent(new Event('input'))")
    page.wait_for_function("() => document.querySelector('#used').textContent.startsWith('1 of')")
    assert page.locator("#asked .unused").count() == int(page.inner_text("#used").split()[-1]) - 1
    page.select_option("#language", "sv")
    page.wait_for_function("() => [...document.querySelectorAll('li header span:nth-child(3)')].every(each => each.textContent === 'sv')")


def test_the_address_holds_what_was_asked(page: "Page", browser: "Browser") -> None:
    search(page, PAIRS[14])
    page.select_option("#language", "sv")
    page.uncheck("#systems input[value=BM25]")
    page.wait_for_function("() => [...document.querySelectorAll('li header span:nth-child(3)')].every(each => each.textContent === 'sv')")
    assert "q=" in page.url and page.url.endswith("language=sv&systems=sparse%2Cdense%2Chybrid")

    def shown(where: "Page") -> tuple[str, str, list[str]]:
        where.wait_for_selector("li mark")
        systems = [section.get_attribute("data-system") for section in where.locator("#answers section:visible").all()]
        return where.input_value("#query"), where.input_value("#language"), [str(each) for each in systems]

    expected = (PAIRS[14], "sv", ["sparse", "dense", "hybrid"])
    assert shown(page) == expected
    page.reload()
    assert shown(page) == expected
    colleague = browser.new_page()
    colleague.goto(page.url)
    assert shown(colleague) == expected and PAIRS[14] in colleague.title()
    colleague.close()
    page.go_back()
    page.wait_for_function("() => document.querySelector('#systems input[value=BM25]').checked")
    page.go_back()
    page.wait_for_function("() => document.querySelector('#language').value === ''")
    page.go_back()
    page.wait_for_function("() => !document.querySelector('#answers').children.length")
    assert page.input_value("#query") == "" and page.is_visible("#examples")
    page.go_forward()
    page.wait_for_selector("li mark")
    assert page.input_value("#query") == PAIRS[14]


def test_one_system_stays(page: "Page") -> None:
    search(page, PAIRS[14])
    for name in ("BM25", "dense", "hybrid"):
        page.uncheck(f"#systems input[value={name}]")
    page.click("#systems input[value=sparse]")
    assert page.is_checked("#systems input[value=sparse]")
    assert page.locator("#answers section:visible").count() == 1


def test_weights_are_shown_to_the_keyboard_and_to_a_finger(page: "Page", browser: "Browser", address: str) -> None:
    search(page, PAIRS[14])
    terms = page.locator("#asked button")
    assert terms.count() > 1
    terms.first.focus()
    assert page.is_visible("#note") and page.inner_text("#note").startswith("weight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement === document.querySelectorAll('#asked button')[1]")
    assert page.inner_text("#note") in str(terms.nth(1).get_attribute("aria-label"))
    page.keyboard.press("Escape")
    assert not page.is_visible("#note")
    page.keyboard.press("Tab")  # past the query's terms
    assert page.evaluate("document.activeElement.closest('#asked') === null")
    assert page.evaluate("document.activeElement.closest('li').classList.contains('same')"), "the result is found in the other columns"
    box = page.locator("#note").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]  # type: ignore[index]
    context = browser.new_context(has_touch=True, viewport={"width": 390, "height": 740})
    telephone = context.new_page()
    telephone.goto(f"{address}?q={PAIRS[14]}")
    telephone.locator("li mark").first.tap()
    assert "query" in telephone.inner_text("#note") and telephone.is_visible("#note")
    context.close()


def test_an_error_leaves_no_results_of_another_query(browser: "Browser", address: str) -> None:
    opened = browser.new_page()
    opened.goto(f"{address}?q={PAIRS[14]}")
    opened.wait_for_selector("li mark")
    for fault, said in ((lambda route: route.abort(), "does not answer"), (lambda route: route.fulfill(status=500, body="no"), "500")):
        opened.route("**/search", fault)
        opened.fill("#query", PAIRS[20])
        opened.press("#query", "Enter")
        opened.wait_for_function("said => document.querySelector('#status.bad')?.textContent.includes(said)", arg=said)
        assert opened.locator("li").count() == 0 and opened.locator("#asked button").count() == 0
        opened.unroute("**/search")
        search(opened, PAIRS[20])
        assert opened.locator("li").count() and opened.get_attribute("#answers", "aria-busy") == "false"
    opened.close()


def test_an_empty_a_very_long_and_an_unreadable_query(page: "Page") -> None:
    search(page, "blåbærsyltetøy på smørrebrød 🍓 " * 60)
    page.fill("#query", "")
    page.wait_for_function("() => !document.querySelector('#answers').children.length")
    assert page.is_visible("#examples")
    page.click("#paste summary")
    page.click("#pair button")
    assert page.locator("#pair :invalid").count() == 2


def test_a_pair_is_explained(page: "Page") -> None:
    page.click("#paste summary")
    page.fill("#own-query", WORDS[3])
    page.fill("#own-document", f"{WORDS[3]} {WORDS[4]}")
    page.click("#pair button")
    page.wait_for_selector("#explained mark")
    assert page.locator("#explained mark").first.inner_text() == WORDS[3]


def test_two_people_at_once(browser: "Browser", address: str) -> None:
    pages = [browser.new_page(base_url=address) for _ in range(2)]
    for each in pages:
        each.goto(address)
        each.wait_for_selector("#examples button")
    for each, query in zip(pages, (PAIRS[3], PAIRS[20]), strict=True):
        each.fill("#query", query)
        each.press("#query", "Enter")
    for each, wanted in zip(pages, ("d3", "d20"), strict=True):
        each.wait_for_selector("li")
        assert each.locator("section:nth-child(2) li").first.get_attribute("data-id") == wanted
        each.close()
