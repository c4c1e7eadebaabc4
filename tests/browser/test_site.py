"""The site in a real browser, from the disk and from a server with a strict Content-Security-Policy."""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.leaderboard.conftest import small_suite, submission_of
from tlbench.analysis.bootstrap import Bootstrap
from tlbench.leaderboard.board import Board
from tlbench.leaderboard.site import build_site

pytestmark = pytest.mark.browser

webdriver: Any = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
if BROWSER is None or DRIVER is None:
    pytest.skip("chromium or chromedriver is not installed", allow_module_level=True)

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

SUITE = small_suite()
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'"
LONG = "A name without an end " + "and_without_a_break" * 5


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    board = Board(folder / "board")
    for submission in (
        submission_of(SUITE, "scratch-vpg", name="VPG from scratch"),
        submission_of(SUITE, name="Best", mean=80.0, noise=1),
        submission_of(SUITE, "finetune-vpg", name="Middle", mean=60.0, noise=2),
        submission_of(SUITE, "spam-linear-vpg", name="<b>Lowest</b>", mean=30.0, noise=3),
        submission_of(SUITE, "zero-shot-vpg", name=LONG, mean=40.0, about={"external_knowledge": "pretrained"}),
        submission_of(SUITE, "random", name="Random"),
    ):
        board.keep(submission)
    build_site(board, {SUITE.id: SUITE}, folder / "site", bootstrap=Bootstrap(500), jobs=1)
    return folder / "site"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", POLICY)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@pytest.fixture(scope="module", params=["disk", "server"])
def root(request: pytest.FixtureRequest, site: Path) -> Iterator[str]:
    """Where the site is opened from."""
    if request.param == "disk":
        yield site.as_uri()
        return
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    arguments = ["headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1400,1000"]
    for argument in [*arguments, "force-prefers-reduced-motion"]:  # what is clicked must not be moving
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = Service(DRIVER)
    found = webdriver.Chrome(options=options, service=service)
    found.set_page_load_timeout(60)
    yield found
    found.quit()


@pytest.fixture
def browser(driver: Any) -> Iterator[Any]:
    """A browser that must not have complained about anything when a test is over."""
    driver.get("about:blank")
    driver.get_log("browser")
    yield driver
    assert [entry["message"] for entry in driver.get_log("browser") if "favicon.ico" not in entry["message"]] == []


def one(browser: Any, selector: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, selector)


def every(browser: Any, selector: str) -> list[Any]:
    found: list[Any] = browser.find_elements(By.CSS_SELECTOR, selector)
    return found


def until(browser: Any, condition: Any) -> Any:
    return WebDriverWait(browser, 30).until(condition)


TRACK = "[data-track='learner vpg, fixed, standard sources, no external knowledge']"


def names(browser: Any, where: str = TRACK) -> list[str]:
    return [cell.text for cell in every(browser, f"{where} tbody tr th a") if cell.is_displayed()]


def open_ranking(browser: Any, root: str) -> None:
    browser.get(f"{root}/{SUITE.id}/index.html")


def head(browser: Any, name: str) -> Any:
    heads = every(browser, f"{TRACK} thead th")
    return next(h for h in heads if re.sub(r"\W+$", "", h.text) == name)


def test_sort(browser: Any, root: str) -> None:
    open_ranking(browser, root)
    assert names(browser) == ["Best", "Middle", "<b>Lowest</b>", "VPG from scratch"]
    head(browser, "score").find_element(By.TAG_NAME, "button").click()
    assert head(browser, "score").get_attribute("aria-sort") == "descending"
    assert head(browser, "rank").get_attribute("aria-sort") is None
    assert names(browser) == ["Best", "Middle", "VPG from scratch", "<b>Lowest</b>"]
    head(browser, "score").find_element(By.TAG_NAME, "button").click()
    assert names(browser) == ["<b>Lowest</b>", "VPG from scratch", "Middle", "Best"]
    head(browser, "method").find_element(By.TAG_NAME, "button").click()
    assert names(browser) == sorted(names(browser), key=str.lower)
    head(browser, "rank").find_element(By.TAG_NAME, "button").click()
    assert names(browser)[:3] == ["Best", "Middle", "<b>Lowest</b>"]


def test_nothing_is_hidden_at_first_and_filters_keep_references(browser: Any, root: str) -> None:
    open_ranking(browser, root)
    assert one(browser, "#count").text == "6 of 6 shown"
    one(browser, "[name=text]").send_keys("finetune")
    until(browser, lambda b: names(b) == ["Middle", "VPG from scratch"])
    one(browser, "[name=text]").clear()
    Select(one(browser, "[name=learner]")).select_by_visible_text("none")
    until(browser, lambda b: names(b) == [])
    assert names(browser, "[data-learner=none]") == ["Random", "VPG from scratch"]
    one(browser, "[type=reset]").click()
    until(browser, lambda b: one(b, "#count").text == "6 of 6 shown")
    Select(one(browser, "[name=badge]")).select_by_visible_text("verified")
    until(browser, lambda b: names(b) == ["VPG from scratch"])
    one(browser, "[type=reset]").click()
    until(browser, lambda b: one(b, "#count").text == "6 of 6 shown")
    Select(one(browser, "[name=track]")).select_by_index(1)
    until(browser, lambda b: len([t for t in every(b, ".track") if t.is_displayed()]) == 1)


def test_compare(browser: Any, root: str) -> None:
    open_ranking(browser, root)
    assert not one(browser, "#compare").is_displayed()
    rows = every(browser, f"{TRACK} tbody tr")
    for row in rows[:2]:
        row.find_element(By.CSS_SELECTOR, "input").click()
    until(browser, lambda b: len(every(b, "#compared svg[role=img]")) == 5 + len(SUITE.transfers))
    assert one(browser, "#ticked").text == "2 ticked"
    label = one(browser, "#compared svg[role=img]").get_attribute("aria-label")
    assert "Best" in label
    assert "Middle" in label
    assert len(every(browser, "#compared path.band.s1")) == len(SUITE.transfers)
    for summary in every(browser, "#compared summary"):
        summary.click()
    cells = [cell.text for cell in every(browser, "#compared table tbody th") if cell.is_displayed()]
    assert cells[:2] == ["Best", "Middle"]
    address = browser.current_url
    assert "#compare=" in address
    browser.get("about:blank")
    browser.get(address)
    until(browser, lambda b: every(b, "#compared svg[role=img]"))
    assert one(browser, "#ticked").text == "2 ticked"
    one(browser, "#untick").click()
    assert not one(browser, "#compare").is_displayed()


def test_a_submissions_page_draws_its_curves(browser: Any, root: str) -> None:
    open_ranking(browser, root)
    one(browser, f"{TRACK} tbody th a").click()
    until(browser, lambda b: len(every(b, ".plot svg")) == len(SUITE.transfers))
    assert one(browser, "h1").text == "Best"
    assert len(every(browser, ".plot path.line.control")) == len(SUITE.transfers)
    assert not any("NaN" in path.get_attribute("d") for path in every(browser, ".plot path"))


def pasted(browser: Any) -> str:
    """What is in the clipboard, pasted into a field made for it."""
    browser.execute_script(
        "const a = document.createElement('textarea'); a.id = 'paste'; document.body.append(a); a.focus();"
    )
    area = one(browser, "#paste")
    area.send_keys(Keys.CONTROL, "v")
    text: str = area.get_property("value")
    browser.execute_script("document.getElementById('paste').remove()")
    return text


@pytest.mark.parametrize("clipboard", ["given", "refused"])
def test_copy_citations(browser: Any, root: str, clipboard: str) -> None:
    open_ranking(browser, root)
    one(browser, f"{TRACK} tbody td.notes a").click()
    until(browser, lambda b: b.current_url.endswith("#cite"))
    if clipboard == "refused":
        browser.execute_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    wanted = {
        "cite-1": "Best on small-v1: score",
        "cite-2": "@misc{tlbench-spam-vpg",
        "cite-3": "[Leaderboard submission",
    }
    for name, part in wanted.items():
        button = one(browser, f"[data-copy={name}]")
        button.click()
        until(browser, lambda b, x=button: x.text == "Copied")
        text = pasted(browser)
        assert text == one(browser, f"#{name}").get_property("textContent")
        assert part in text
        assert "snapshot" in text


def test_the_permanent_link_opens(browser: Any, root: str) -> None:
    open_ranking(browser, root)
    link = one(browser, "#permalink")
    digest = link.text
    one(browser, "[data-copy-link]").click()
    until(browser, lambda b: one(b, "[data-copy-link]").text == "Copied")
    copied = pasted(browser)
    assert copied.endswith(f"/s/{digest}.html")
    browser.get(copied)
    assert digest in one(browser, ".kicker").text
    assert {"Best", "Middle"} <= {cell.text for cell in every(browser, "tbody th bdi")}


def background(browser: Any) -> str:
    colour: str = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    return colour


def test_theme(browser: Any, root: str) -> None:
    open_ranking(browser, root)
    light = background(browser)
    one(browser, "[data-theme-toggle]").click()
    dark = background(browser)
    assert dark != light
    browser.get(f"{root}/index.html")
    assert background(browser) == dark
    one(browser, "[data-theme-toggle]").click()
    assert background(browser) == light


def test_by_keyboard_alone(browser: Any, root: str) -> None:
    open_ranking(browser, root)

    def press(*keys: str) -> Any:
        browser.switch_to.active_element.send_keys(*keys)
        return browser.switch_to.active_element

    def tab_to(wanted: Any) -> Any:
        for _ in range(120):
            if browser.execute_script("return arguments[0] === document.activeElement", wanted):
                return wanted
            press(Keys.TAB)
        raise AssertionError("not reached with the Tab key")

    first = press(Keys.TAB)
    assert first.get_attribute("class") == "skip"
    assert first.is_displayed()
    first.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "main"
    tab_to(head(browser, "score").find_element(By.TAG_NAME, "button")).send_keys(Keys.ENTER)
    assert head(browser, "score").get_attribute("aria-sort") == "descending"
    outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    tab_to(one(browser, f"{TRACK} tbody input")).send_keys(Keys.SPACE)
    until(browser, lambda b: every(b, "#compared svg[role=img]"))
    tab_to(one(browser, "#tray a")).send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "compare"


def overflow(browser: Any) -> int:
    """By how many pixels the page is wider than the window."""
    found: int = browser.execute_script("const d = document.documentElement; return d.scrollWidth - d.clientWidth")
    return found


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_no_page_scrolls_sideways(browser: Any, root: str, site: Path, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for path in sorted(site.rglob("*.html")):
            browser.get(f"{root}/{path.relative_to(site)}")
            assert overflow(browser) == 0, f"{path.relative_to(site)} at {width} px"
        open_ranking(browser, root)
        one(browser, f"{TRACK} tbody input").click()
        until(browser, lambda b: every(b, "#compared svg[role=img]"))
        assert overflow(browser) == 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
