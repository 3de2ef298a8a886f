"""The page in a real browser, by mouse, keyboard and finger, on a desk, on a phone and on paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_rows
import pages
import pytest
from seqbench.bench.report.page import page as report
from seqbench.bench.rows.store import Workplace

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""What a browser that Playwright can drive is called; it is never downloaded here."""
PHONE = {"viewport": {"width": 380, "height": 780}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here: apt-get install chromium, or brew install --cask chromium")
    driver = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install -e .[dev]")
    with driver.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("browser")
    experiment = pages.published(place / "results" / "x")
    return report.write(place / "page.html", [experiment.folder]).as_uri()


@pytest.fixture(scope="module")
def address_of_one_epoch(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of runs of one epoch, of which there is a trace of the training loss alone, and of one with more."""
    place = tmp_path_factory.mktemp("epoch")
    experiment = made_rows.write(place / "x", pages.PLAIN.replace("adding(length=20)", '["adding(length=20)", jsb]'))
    trace = [[10 * step, 2.0 / step] for step in range(1, 41)]
    short, long = experiment.runs
    Workplace(experiment.folder).published.replace([pages.row(short, epochs=1, trace=trace), pages.row(long)])
    return report.write(place / "page.html", [experiment.folder]).as_uri()


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Any]:
    """Opens the page in a context of its own; nothing may complain, open a dialog or be loaded until the end."""
    trouble: list[str] = []
    contexts = []

    def opened(at: str = address, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: trouble.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: request.url == at or trouble.append(request.url))
        page.goto(at)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert trouble == []


def first_column(page: Any) -> list[str]:
    return [text.strip() for text in page.locator(".scores tbody th").all_text_contents()]


def test_headings_sort_up_down_and_back(open_page: Any) -> None:
    page = open_page()
    made = first_column(page)
    assert made == ["adding(length=50)", "copy-memory(delay=20)", "copy-memory(delay=20)", "jsb"]
    heading = page.locator(".scores thead th").nth(5)  # gru
    states, orders = [], []
    for _ in range(3):
        heading.get_by_role("button").click()
        states.append(heading.get_attribute("aria-sort"))
        orders.append(
            [
                float(one)
                for one in page.locator(".scores tbody td:nth-child(6)").evaluate_all(
                    "all => all.map(one => one.dataset.order)"
                )
            ]
        )
    assert states == ["ascending", "descending", "none"]
    assert orders[0] == sorted(orders[0])
    assert orders[1] == sorted(orders[0], reverse=True)
    assert orders[0][0] < 1e-3 < 9 < orders[0][-1]
    assert first_column(page) == made
    page.locator(".scores thead th").first.get_by_role("button").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert first_column(page) == made[::-1]


def test_numbers_sort_as_numbers_and_what_is_missing_comes_last(open_page: Any) -> None:
    page = open_page()
    page.locator("#speed summary").click()
    place = page.locator("#speed table")
    heading = place.locator("th", has_text="denormals flushed")
    for expected in (["19.0", "–"], ["19.0", "–"]):
        heading.get_by_role("button").click()
        assert [text.strip() for text in place.locator("tbody td:nth-child(6)").all_inner_texts()] == expected


def test_focus_and_pointer_show_the_seeds_and_escape_hides_them(open_page: Any) -> None:
    page = open_page()
    tip = page.locator("#tip")
    score = page.locator(".score", has_text="2/5 solved")
    score.focus()
    assert "seed 0: 3.06e-4, solved after 100 steps" in tip.inner_text()
    assert "seed 3: diverged" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    page.locator(".score", has_text="4/4 solved").hover()
    assert "seed 4: failed" in tip.inner_text()
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 1280
    page.locator("h1").hover()
    assert tip.is_hidden()


def test_a_score_opens_its_runs_and_closes_them(open_page: Any) -> None:
    page = open_page()
    score = page.locator(".score", has_text="4/4 solved")
    score.focus()
    page.keyboard.press("Enter")
    panel = page.locator(".expansion")
    assert score.get_attribute("aria-expanded") == "true"
    assert pages.HOSTILE in panel.inner_text()
    assert "seqbench reproduce" in panel.inner_text()
    assert "c0ffee1234" in panel.inner_text()
    page.locator(".score", has_text="2/5 solved").click()  # another one takes its place
    assert panel.count() == 1
    assert score.get_attribute("aria-expanded") == "false"
    panel.get_by_role("button", name="Close").click()
    assert panel.count() == 0


def test_all_runs_open_at_once_and_a_link_opens_the_one_it_names(open_page: Any, address: str) -> None:
    page = open_page()
    page.get_by_role("button", name="Open all").click()
    assert page.locator("details.cell:not([open])").count() == 0
    page.get_by_role("button", name="Close all").click()
    assert page.locator("details.cell[open]").count() == 0
    page.evaluate("location.hash = 'e0-c1'")
    page.wait_for_selector("#e0-c1[open]")


def scrolled(page: Any) -> None:
    """Waits until the page has heard of all scrolling so far: a browser tells it before it draws the next picture.

    The page must be open with reduced motion, because otherwise it scrolls smoothly, over many pictures.
    """
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def point_at(page: Any, curves: Any, place: int) -> None:
    """Moves the pointer there. Scrolling hides the tip, so the curves are in view before it."""
    curves.hover(position={"x": place - 5, "y": place})
    scrolled(page)
    curves.hover(position={"x": place, "y": place})
    page.locator("#tip").wait_for(state="visible")  # a hidden one has its text without line ends


def test_curves_are_switched_hidden_and_read_by_pointer_and_keyboard(open_page: Any) -> None:
    page = open_page(reduced_motion="reduce")
    curves = page.locator("#e0-d0")
    assert curves.locator(".view.epochs").is_visible()
    page.get_by_label("seconds").check()
    assert curves.locator(".view.epochs").is_hidden()
    assert curves.locator(".view.seconds").is_visible()
    tip = page.locator("#tip")
    curves.focus()
    for _ in range(4):  # 1.5, 2.5, 3.0 and 3.5 seconds: there is a point of some model
        page.keyboard.press("ArrowRight")
    text = tip.inner_text()
    assert "rnn 0.114 (0.104 to 0.125, n=5), epoch 2, 3.0 s" in text
    assert "gru 9.35e-4 (8.74e-4 to 0.00100, n=4), epoch 1, 3.5 s" in text
    page.get_by_label("epochs").check()
    point_at(page, curves, 60)
    text = tip.inner_text()
    assert text.startswith("epoch 1\n")
    assert "lstm 0.0120 (8.57e-4 to 0.171, n=4), 2.5 s" in text
    button = page.locator(".model", has_text="lstm")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert curves.locator(".epochs [data-model='1']").is_hidden()
    point_at(page, curves, 61)
    assert "lstm" not in tip.inner_text()
    assert "gru" in tip.inner_text()


def test_a_task_of_one_epoch_shows_its_training_loss(open_page: Any, address_of_one_epoch: str) -> None:
    page = open_page(address_of_one_epoch, reduced_motion="reduce")
    losses, scores = page.locator("#e0-d0"), page.locator("#e0-d1")
    captions = page.locator(".panel-of-curves figcaption")
    assert captions.first.inner_text().split("\n") == ["adding(length=20)", "training loss against steps"]
    assert losses.get_by_text("steps", exact=True).is_visible()
    page.get_by_label("seconds").check()  # that is for scores alone
    assert losses.locator("polyline").is_visible()
    assert scores.locator(".view.epochs").is_hidden()
    assert captions.nth(1).inner_text().endswith("against seconds")
    losses.focus()
    scrolled(page)  # it is in view now; scrolling hides the tip
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("#tip").inner_text().split("\n") == ["step 20", "gru 1.00"]
    point_at(page, scores, 60)
    assert " s" in page.locator("#tip").inner_text()
    page.locator(".model", has_text="gru").click()
    assert losses.locator("polyline").is_hidden()


def test_speed_opens_by_the_keyboard(open_page: Any) -> None:
    page = open_page()
    table, summary = page.locator("#speed table"), page.locator("#speed summary")
    assert "2 rows" in summary.inner_text()
    assert table.is_hidden()
    summary.focus()
    for key, seen in (("Enter", True), ("Space", False)):
        page.keyboard.press(key)
        assert table.is_visible() is seen
    page.emulate_media(media="print")
    assert table.bounding_box()["height"] > 0  # paper has it, open or not


def test_dark_by_the_system_and_by_the_button(open_page: Any) -> None:
    def paper(page: Any) -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = open_page(color_scheme="light"), open_page(color_scheme="dark")
    assert (paper(light), paper(dark)) == ("rgb(255, 255, 255)", "rgb(21, 24, 29)")
    for page, names in ((light, ("Dark", "Light")), (dark, ("Light", "Dark"))):
        button = page.locator("#theme")
        for name in names:  # it says what pressing it does, to the eye and to the ear
            assert button.inner_text() == name
            assert button.get_attribute("aria-label") == f"{name}: change to the {name.lower()} theme"
            assert button.get_attribute("aria-pressed") is None
            if name == names[0]:
                button.click()
    assert (paper(light), paper(dark)) == ("rgb(21, 24, 29)", "rgb(255, 255, 255)")
    light.reload()
    assert paper(light) == "rgb(21, 24, 29)"  # it is remembered
    assert light.locator("#theme").inner_text() == "Light"


def test_a_phone_sees_all_of_the_page_without_moving_it_sideways(open_page: Any) -> None:
    page = open_page(**PHONE)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    score = page.locator(".score", has_text="2/5 solved")
    score.tap()
    assert "seed 3: diverged" in page.locator(".expansion").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == 380
    wide = """() => [...document.querySelectorAll('main *')].filter(one => one.getBoundingClientRect().right > 381
        && !one.closest('.scroll, .unseen, .marks')).map(one => one.outerHTML.slice(0, 80))"""
    assert page.evaluate(wide) == []
    assert page.locator(".scores > tbody > tr").first.locator(".place").first.bounding_box()["width"] > 300
    heights = """() => [...document.querySelectorAll('button, summary')].map(one => one.getBoundingClientRect().height)
        .filter(height => height > 0)"""
    assert min(page.evaluate(heights)) >= 24  # a finger hits them (WCAG 2.2, target size)


def test_paper_has_all_runs_and_no_controls(open_page: Any, tmp_path: Path) -> None:
    page = open_page(color_scheme="dark")
    page.locator("#theme").click()
    page.locator("#theme").click()  # dark by choice, and yet paper is white
    file = tmp_path / "page.pdf"
    file.write_bytes(page.pdf(format="A4"))
    assert file.read_bytes().startswith(b"%PDF")
    assert page.locator("details[open]").count() == 0  # as it was before
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for control in ("#theme", ".all", ".hint", "fieldset", "nav"):
        assert page.locator(control).first.is_hidden(), control
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("#e0-c0 dl").first.is_visible()


def test_without_a_script_everything_can_still_be_read(open_page: Any) -> None:
    page = open_page(java_script_enabled=False)
    assert page.locator(".scores").inner_text().count("solved") >= 8
    assert page.locator("#e0-d0 .view.epochs").is_visible()
    assert page.locator("#theme").is_hidden()
    page.locator("#e0-c0 summary").click()
    assert "seqbench reproduce" in page.locator("#e0-c0").inner_text()
