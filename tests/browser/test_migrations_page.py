"""The page Migrations in a real browser: a migration is started, watched, paused, resumed and seen to its end."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Route, expect

from qmig.ledger.records import State
from tests.support.ends import Ends
from tests.support.flower import flower_process, until_it_hears
from tests.support.migrations import (
    POINTS,
    SLOWLY,
    arrived,
    fill_source,
    finish,
    own_fleet,
    start,
    state_of,
    until_state,
)

USER, PASSWORD = "operator", "geheim"
WIDE = {"width": 1400, "height": 900}
PHONE = {"width": 375, "height": 812}
# Longer than Playwright's five seconds: the page polls every two seconds, and the machine may be busy.
expect.set_options(timeout=30_000)

Keep = Callable[[Page, str], Path]
Open = Callable[..., Page]


@pytest.fixture
def broker(ends: Ends) -> Iterator[str]:
    """A broker with two workers, and a source to migrate."""
    fill_source(ends)
    with own_fleet() as (redis, _):
        yield redis.url


@pytest.fixture
def open_page(browser: Browser, ends: Ends, broker: str) -> Iterator[Open]:
    """Opens the page; nothing may go wrong in the browser's console, and nothing be fetched from elsewhere."""
    environment = {
        "QMIG_BROKER_URL": broker,
        "QMIG_TARGET_URL": ends.target.endpoint.url,
        "FLOWER_BASIC_AUTH": f"{USER}:{PASSWORD}",
    }
    wrong: list[str] = []
    with flower_process("--migration-offsets-collection-name", ends.ledger, env=environment) as url:
        until_it_hears(url, f"{USER}:{PASSWORD}")

        def note(message: ConsoleMessage) -> None:
            # A refusal is no error of the page's.
            if message.type == "error" and "409 (Conflict)" not in message.text:
                wrong.append(message.text)

        def open_it(viewport: dict[str, int] = WIDE, colours: str = "light") -> Page:
            context = browser.new_context(
                viewport=viewport,  # type: ignore[arg-type]
                color_scheme=colours,  # type: ignore[arg-type]
                http_credentials={"username": USER, "password": PASSWORD},
            )
            page = context.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", note)
            page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(url) else None)
            page.goto(f"{url}/workers")
            if viewport["width"] < 992:
                page.get_by_label("Toggle navigation").click()
            page.get_by_role("link", name="Migrations").click()
            return page

        yield open_it
        for context in browser.contexts:
            context.close()
    assert wrong == []


def card(page: Page) -> Locator:
    return page.locator("article.migration")


def share(page: Page) -> int:
    return int(page.get_by_role("progressbar").get_attribute("aria-valuenow") or 0)


def wait_for(page: Page, condition: str, argument: object = None) -> None:
    """Ask by the clock, not with each frame: a browser without a screen may stop drawing."""
    page.wait_for_function(condition, arg=argument, polling=200)


def until_share(page: Page, least: int) -> None:
    bar = "document.querySelector('article [role=progressbar]')"
    wait_for(page, f"least => Number({bar}?.ariaValueNow) >= least", least)


def unfold(page: Page) -> None:
    """Open the card's lower part, which is already open if its migration was running at first."""
    more = card(page).locator("details")
    if more.get_attribute("open") is None:
        more.locator("summary").click()
    expect(page.locator("canvas")).to_be_visible()


def act(page: Page, action: str, confirm: str) -> None:
    """Press a migration's button, and the one in the dialogue that asks whether it is meant."""
    card(page).get_by_role("button", name=action).click()
    page.get_by_role("dialog").get_by_role("button", name=confirm).click()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_started_watched_paused_resumed_and_finished(open_page: Open, ends: Ends, broker: str, keep: Keep) -> None:
    page = open_page()
    expect(page.get_by_text("There are no migrations in this ledger yet.")).to_be_visible()

    running = start(ends, *SLOWLY, "--max-rate", "300", broker=broker)
    expect(card(page).get_by_role("heading", level=2)).to_have_text(f"{ends.source_name} → {ends.target_name}")
    expect(card(page).locator(".badge")).to_have_text("running")
    until_share(page, 4)
    before = share(page)
    until_share(page, before + 4)
    expect(card(page).locator("[data-field=rate]")).to_contain_text(re.compile(r"^\d+/s"))
    expect(card(page).locator("[data-field=left]")).to_have_text(re.compile(r"^(\d+(\.\d)? s|\d+:\d\d)$"))
    expect(card(page).locator("tbody tr")).to_have_count(2)
    keep(page, "running")

    act(page, "Pause", "Pause")
    expect(card(page).locator(".badge")).to_have_text("paused")
    assert state_of(ends) == State.PAUSED
    expect(card(page)).to_contain_text("chunks: the migration is paused")
    expect(card(page).get_by_role("button", name="Pause")).to_be_hidden()
    keep(page, "paused")

    act(page, "Resume", "Resume")
    expect(card(page).locator(".badge")).to_have_text("running")
    card(page).get_by_role("button", name="Throttle").click()
    page.get_by_role("spinbutton").fill("1200")
    keep(page, "throttle")
    page.get_by_role("button", name="Set limit").click()
    expect(card(page)).to_contain_text("limited to 1,200 points/s")
    until_share(page, 100)
    expect(card(page).locator(".badge")).to_have_text("done")
    expect(card(page).locator("[data-field=points]")).to_have_text(f"{POINTS:,} of {POINTS:,}")
    keep(page, "done")
    finish(running)
    assert arrived(ends)


def test_nothing_is_cancelled_unless_it_is_meant(open_page: Open, ends: Ends, broker: str) -> None:
    page = open_page()
    running = start(ends, *SLOWLY, "--max-rate", "300", broker=broker)
    until_share(page, 1)

    card(page).get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Go back").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert state_of(ends) == State.RUNNING

    act(page, "Cancel", "Cancel the migration")
    expect(card(page).locator(".badge")).to_have_text("cancelled")
    until_state(ends, State.CANCELLED)
    finish(running, 1)


def test_an_action_that_comes_too_late_says_so_in_the_dialogue(open_page: Open, ends: Ends, broker: str) -> None:
    page = open_page()
    running = start(ends, *SLOWLY, "--max-rate", "800", broker=broker)
    until_share(page, 1)
    card(page).get_by_role("button", name="Pause").click()
    finish(running)

    page.get_by_role("dialog").get_by_role("button", name="Pause").click()

    expect(page.get_by_role("alert")).to_contain_text("is done and cannot be paused")


def test_one_click_goes_to_a_chunk_and_its_task(open_page: Open, ends: Ends, broker: str, keep: Keep) -> None:
    running = start(ends, *SLOWLY, broker=broker)
    finish(running)
    page = open_page()
    unfold(page)

    page.locator("canvas").click(position={"x": 20, "y": 5})
    detail = card(page).locator(".chunk-detail")
    expect(detail).to_contain_text("chunk 2/4 · ids [1")
    page.locator("canvas").press("ArrowRight")
    expect(detail).to_contain_text("chunk 3/4 · ids ")
    keep(page, "chunk")
    detail.get_by_role("link", name="Task").click()

    expect(page.locator("#task-page")).to_contain_text("chunk 3/4 · ids ")
    expect(page.locator("#task-page")).to_contain_text("SUCCESS")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, WIDE], ids=["phone", "wide"])
def test_it_fits_the_screen_and_its_colours(
    open_page: Open, ends: Ends, broker: str, keep: Keep, viewport: dict[str, int], colours: str
) -> None:
    page = open_page(viewport, colours)
    running = start(ends, *SLOWLY, "--max-rate", "300", broker=broker)
    until_share(page, 5)

    assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    for button in card(page).get_by_role("button", name=re.compile("Pause|Throttle|Cancel")).all():
        expect(button).to_be_in_viewport()
    background = page.evaluate("getComputedStyle(document.querySelector('article.migration')).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 3 * 128) == (colours == "dark")
    keep(page, "page")
    running.stop(timeout=60)


def test_a_plan_of_thousands_of_chunks_fits(open_page: Open, ends: Ends, broker: str, keep: Keep) -> None:
    """What the server says is made larger on its way to the browser."""
    running = start(ends, *SLOWLY, broker=broker)
    finish(running)
    letters = ("d" * 60 + "r") * 200 + "t" * 30 + "f" * 5 + "w" * 7765

    def enlarge(route: Route) -> None:
        data = json.loads(route.fetch().body())
        data["migrations"][0].update(chunk_map=letters, chunks=len(letters), state="running", share=0.61)
        route.fulfill(json=data)

    page = open_page(PHONE)
    expect(card(page)).to_be_visible()
    page.route("**/migrations/data", enlarge)
    expect(card(page).locator("[data-field=percent]")).to_have_text("61 %")
    unfold(page)

    expect(card(page).locator("[data-field=legend]")).to_have_text(
        "7,765 waiting200 running30 retrying12,000 done5 failed"
    )
    box = page.locator("canvas").bounding_box()
    assert box is not None
    assert box["width"] <= PHONE["width"]
    keep(page, "phone")
    page.set_viewport_size({"width": 1400, "height": 900})
    wait_for(page, "() => document.querySelector('canvas').clientHeight <= 300")
    keep(page, "wide")
