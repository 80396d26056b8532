"""The page in a real Chromium: what it draws is what was sent, and it gets over whatever goes away."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from auricle.messages import microseconds
from helpers.bridged import House
from helpers.paged import page, serious, serve

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

BAND_OF_1_KHZ = 22
"""Counted from 0; its middle lies at 1,005 Hz."""
DARK, LOUD = 60, 220

BRIGHTEST = """
const canvas = document.querySelector("canvas"), place = canvas.dataset, ratio = canvas.width / canvas.clientWidth;
if (!place.top) return null;
// A little left of the right edge, where columns that came slide in.
const x = Math.round((Number(place.left) + Number(place.width) - 4) * ratio);
const pixels = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height).data;
let best = [-1, []];
for (let y = Math.ceil(place.top * ratio) + 1; y < (Number(place.top) + Number(place.height)) * ratio - 1; y++) {
  const sum = pixels[4 * y] + pixels[4 * y + 1] + pixels[4 * y + 2];
  if (sum > best[0]) best = [sum, []];
  if (sum === best[0]) best[1].push((y + 0.5) / ratio);
}
if (best[1].length > canvas.height / 8) return null; // nothing is drawn there yet
const y = best[1].reduce((a, b) => a + b) / best[1].length;
// From the plot's height back to Hz: rows are even in mel, the middle of band b, from 1, is at b / 65.
const share = ((1 - (y - place.top) / place.height) * 64 + 0.5) / 65;
return 700 * ((1 + place.top_hz / 700) ** share - 1);
"""
WATCH = """
window.seenAt = {};
const look = () => {
  const drawn = document.querySelector("canvas").dataset.events ?? "";
  const listed = document.querySelector("tr.open")?.innerText;
  for (const label of drawn.split(" ")) if (label && listed?.includes(label)) window.seenAt[label] ??= Date.now();
};
const observer = new MutationObserver(look);
observer.observe(document.body, { attributes: true, childList: true, subtree: true });
"""
ROW = """
const canvas = document.querySelector("canvas"), place = canvas.dataset, ratio = canvas.width / canvas.clientWidth;
if (!place.top) return null;
const y = Math.round((Number(place.top) + place.height / 2) * ratio);
const pixels = canvas.getContext("2d").getImageData(0, y, canvas.width, 1).data;
const seen = [];
for (let x = Math.ceil(place.left * ratio) + 3; x < canvas.width; x++)
  seen.push(pixels[4 * x] + pixels[4 * x + 1] + pixels[4 * x + 2]);
return seen;
"""


def column(band: int, loud: int = LOUD) -> bytes:
    """Return a column in which one band is loud."""
    return bytes(loud if each == band else DARK for each in range(64))


@pytest.fixture
def shown(browser: Any, tmp_path: Path) -> Iterator[tuple[Any, House, int]]:
    """The page of a daemon, open in a browser which has heard it; nothing may be complained of in its console."""
    with page(tmp_path) as (here, port):
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get(f"http://127.0.0.1:{port}/")
        here.until(lambda: "porch is heard" in text(browser, "health"), "it has heard")
        yield browser, here, port
        browser.get("about:blank")


def text(browser: Any, name: str) -> str:
    """Return the text of an element."""
    found: str = browser.execute_script("return document.getElementById(arguments[0]).innerText", name)
    return found


def sender(here: House) -> Callable[[bytes], None]:
    """Return what sends columns, each call's behind those before."""
    at_us = time.time_ns() // 1000

    def send(bands: bytes) -> None:
        nonlocal at_us
        here.here.spectrum(bands, at_us)
        at_us += len(bands) // 64 * 80_000

    return send


def test_a_tone_is_drawn_where_it_sounds_and_moves(shown: tuple[Any, House, int]) -> None:
    """The brightest pixels of a tone of 1 kHz lie at 1 kHz, by half a band; a click, one bright column, moves to the
    left as more comes."""
    browser, here, _ = shown
    send = sender(here)
    send(column(BAND_OF_1_KHZ) * 30)
    hz = here.until(lambda: browser.execute_script(BRIGHTEST), "it is drawn")
    assert hz == pytest.approx(1005, abs=25)

    def click() -> int | None:
        seen = browser.execute_script(ROW) or [0]
        brightest = max(seen)
        return seen.index(brightest) if brightest > 500 else None

    send(column(40, DARK) * 3 + bytes([LOUD]) * 64 + column(40, DARK) * 8)
    first = here.until(click, "the click is drawn")
    send(column(40, DARK) * 60)
    here.until(lambda: (click() or first) < first - 50, "it has moved")
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_an_event_is_there_within_half_a_second(shown: tuple[Any, House, int]) -> None:
    """An onset is drawn into the picture and stands in the list within 500 ms of its message, by the page's own look at
    the clock that the message has its time from, the quickest of several on a machine that may be busy; its offset ends
    it."""
    browser, here, _ = shown
    send = sender(here)
    send(column(10) * 3)
    browser.execute_script(WATCH)
    until_s, n, quickest_ms = time.monotonic() + 60, 0, math.inf
    while quickest_ms > 500 and time.monotonic() < until_s:
        send(column(10) * 3)
        label = f"rain{n}"
        told = here.here.event("onset", label)
        at_ms = here.until(
            partial(browser.execute_script, "return window.seenAt[arguments[0]]", label), f"{label} seen"
        )
        quickest_ms = min(quickest_ms, at_ms - microseconds(told.t) / 1000)
        here.here.event("offset", label)
        here.until(lambda: browser.execute_script("return !document.querySelector('tr.open')"), "it has ended")
        n += 1
    assert 0 < quickest_ms <= 500


def test_a_gap_is_hatched(shown: tuple[Any, House, int]) -> None:
    """Where nothing was heard the picture has stripes: neither what was before nor what came after."""
    browser, here, _ = shown
    at_us = time.time_ns() // 1000
    here.here.spectrum(column(40, DARK) * 20, at_us)
    here.here.gap(at_us + 1_600_000, 4.0)
    here.here.spectrum(column(40, DARK) * 20, at_us + 5_600_000)

    def hatched() -> bool:
        seen = browser.execute_script(ROW) or []
        return sum(value > 300 for value in seen) > 5

    here.until(hatched, "there are stripes")


def test_scores_have_their_thresholds(shown: tuple[Any, House, int]) -> None:
    """Each of the best labels has a bar as long as its score; what is above a threshold without an event says why."""
    browser, here, _ = shown
    script = """return [...document.querySelectorAll(".scores li")].map((item) =>
        [item.dataset.label, item.querySelector(".fill").style.width, item.querySelector(".figure").innerText])"""

    def drawn() -> Any:
        here.here.scores()
        return browser.execute_script(script)

    assert sorted(here.until(drawn, "scores")) == [["dog_bark", "25%", "0.25"], ["rain", "50%", "0.50"]]


def test_the_past_is_searched(shown: tuple[Any, House, int]) -> None:
    """Events of before the page was opened are listed, by label, source and words."""
    browser, here, port = shown
    for source, label in (("porch", "rain"), ("porch", "siren"), ("hall", "dog_bark")):
        here.here.event("onset", label, source)
        here.here.event("offset", label, source)
    browser.get(f"http://127.0.0.1:{port}/")
    here.until(lambda: text(browser, "found") == "3 events", "they are there")

    def narrowed(name: str, value: str) -> str:
        script = """const field = document.forms.find.elements[arguments[0]], before = field.value;
            field.value = arguments[1];
            field.dispatchEvent(new Event("input", { bubbles: true }));
            const found = document.getElementById("events").innerText;
            field.value = before;
            return found;"""
        found: str = browser.execute_script(script, name, value)
        return found

    assert "siren" in narrowed("label", "siren")
    assert "rain" not in narrowed("label", "siren")
    assert narrowed("source", "hall").count("dog bark") == 1
    assert "porch" not in narrowed("source", "hall")
    assert "siren" not in narrowed("words", "dog")
    assert narrowed("words", "no such thing") == ""


def test_it_says_that_it_is_old_and_comes_back(shown: tuple[Any, House, int]) -> None:
    """When the daemon dies the page says so; a long outage, by the page's own clock, is told as such; when daemon and
    page are back it goes on by itself."""
    browser, here, _ = shown
    here.kill_daemon()
    here.until(lambda: "The daemon has said nothing" in text(browser, "trouble"), "it is silent")
    here.start_daemon()
    here.until(lambda: not text(browser, "trouble"), "it is back")
    here.kill()
    browser.execute_script("const real = performance.now.bind(performance); performance.now = () => real() + 7.2e6;")
    here.until(lambda: "Nothing has come for 2 h" in text(browser, "trouble"), "it is stale for long")
    serve(here)
    here.until(lambda: not text(browser, "trouble"), "it is back")
    here.here.event("onset", "siren")
    here.until(lambda: "siren" in text(browser, "events"), "it goes on")


def test_hidden_it_takes_nothing(shown: tuple[Any, House, int]) -> None:
    """A page in a hidden tab is no viewer; when it is seen again it is one again."""
    browser, here, _ = shown
    hide = """Object.defineProperty(document, "hidden", { value: arguments[0], configurable: true });
        document.dispatchEvent(new Event("visibilitychange"));"""
    browser.execute_script(hide, True)
    here.until(lambda: here.notified.get("STATUS") == "0 look", "it does not look")
    browser.execute_script(hide, False)
    here.until(lambda: here.notified.get("STATUS") == "1 look", "it looks")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off(shown: tuple[Any, House, int], scheme: str) -> None:
    """At 320 px nothing lies beside the screen, light or dark, and everything can be reached by the tab key."""
    browser, here, _ = shown
    try:
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
        )
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        )
        sender(here)(column(BAND_OF_1_KHZ) * 10)
        here.here.event("onset", "a_label_that_is_very_long_indeed_as_long_as_some_are")
        here.until(lambda: "very long" in text(browser, "events"), "the event is shown")
        here.until(lambda: browser.execute_script(BRIGHTEST), "it is drawn")
        wide, screen = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= screen == 320
        back = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (back == "rgb(18, 16, 22)") == (scheme == "dark")
        reached = browser.execute_script(
            """return [...document.querySelectorAll("button, input, select, summary, [tabindex='0']")]
                .filter((each) => each.tabIndex < 0).length"""
        )
        assert reached == 0
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(shown: tuple[Any, House, int], scheme: str) -> None:
    """axe-core, which judges by the rules of WCAG, finds nothing serious or critical in the page with all that it may
    show; colours are judged light and dark."""
    browser, here, _ = shown
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
    try:
        sender(here)(column(BAND_OF_1_KHZ) * 10)
        here.here.event("onset", "siren")
        here.here.scores()
        here.until(lambda: "siren" in text(browser, "events"), "the event is shown")
        faults = serious(browser)
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert not faults
