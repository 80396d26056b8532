"""The page in a real Chromium before a daemon that hears: what is changed there holds, and what is played is what was
heard."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from selenium.common.exceptions import WebDriverException

from auricle.client import AskEvents, AskStatus, Client, Clip, Event, History, Mark, Report, Scores, ask
from helpers import kept
from helpers.paged import Heard, heard, serious
from helpers.running import configuration, wait_for
from helpers.sounds import varied, write

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MOVE = """
const [label, value] = arguments, range = document.querySelector(`[data-label="${label}"] input[type=range]`);
if (!range) return false;
range.value = value;
range.dispatchEvent(new Event("input", { bubbles: true }));
return true;
"""
DECODE = """
const decode = async (path, rate) => {
  const content = await (await fetch(path)).arrayBuffer();
  const sound = await new OfflineAudioContext(1, 1, rate).decodeAudioData(content);
  const samples = sound.getChannelData(0);
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return [sound.sampleRate, btoa(text)];
};
decode(arguments[0], arguments[1]).then(arguments[2], (error) => arguments[2]([0, String(error)]));
"""


@pytest.fixture(scope="module")
def rain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """A daemon that hears rain, of which it raises no event, and its page."""
    folder = tmp_path_factory.mktemp("rain")
    rules = {"threshold": 0.99, "hysteresis": 0.01, "min_duration_ms": 0}
    with heard(folder, {**configuration(folder), "model": "esc10", "decision": rules}) as here:
        yield here


def pressed(browser: Any, name: str) -> None:
    """Press a button, by its text, as a hand does, as soon as it is there."""
    script = """const found = [...document.querySelectorAll("button")].find((each) => each.innerText === arguments[0]);
        found?.scrollIntoView({ block: "center" });
        return found"""

    def done() -> bool:
        try:
            found = browser.execute_script(script, name)
            if found is not None:
                found.click()
        except WebDriverException:  # its row is another by now
            return False
        return found is not None

    wait_for(done, f"a button {name}")


def said(browser: Any) -> str:
    """Return what the page says at its foot."""
    return str(browser.execute_script("return document.getElementById('said').textContent"))


def test_the_slider_changes_the_next_decision(browser: Any, rain: Heard) -> None:
    """A slider is moved, and the daemon decides by it: the first decision that tells the new threshold has the event.
    The page shows the event, what was set, and the way back; the keyboard moves it too."""
    with Client(rain.one.events, topics=["event.", "score."]) as client:
        rain.open(browser)
        wait_for(lambda: browser.execute_script(MOVE, "rain", 0.05), "there is a slider")
        before, item = None, None
        while not isinstance(item, Event):
            item = client.receive(30)
            if isinstance(item, Scores) and isinstance(item.thresholds, dict) and item.thresholds["rain"] == 0.05:
                before = before or item
        assert before is not None
        assert (item.label, item.phase) == ("rain", "onset")
        assert before.sample is not None
        assert item.sample is not None
        assert abs(item.sample - before.sample) <= 1600, "the decision itself, or the one beside it"
    wait_for(lambda: said(browser) == "porch: rain begins at 0.05 now.", lambda: said(browser))
    wait_for(lambda: browser.execute_script("return document.querySelector('tr.open') !== null"), "the event is shown")
    assert ask(rain.one.query, AskStatus(), Report).overrides.thresholds == {"porch": {"rain": 0.05}}
    browser.execute_script("document.querySelector('[data-label=rain] input[type=range]').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.execute_cdp_cmd(
            "Input.dispatchKeyEvent", {"type": kind, "key": "ArrowRight", "windowsVirtualKeyCode": 39}
        )
    wait_for(lambda: said(browser) == "porch: rain begins at 0.06 now.", lambda: said(browser))
    pressed(browser, "Undo the last change")
    wait_for(lambda: said(browser) == "The last change is taken back.", lambda: said(browser))
    assert ask(rain.one.query, AskStatus(), Report).overrides.thresholds == {"porch": {"rain": 0.05}}
    pressed(browser, "As configured")
    wait_for(lambda: ask(rain.one.query, AskStatus(), Report).overrides.thresholds == {}, "it is as configured")
    browser.execute_script(MOVE, "rain", 0.01)
    wait_for(lambda: "it is not above the hysteresis 0.01, so that no event would end" in said(browser), "refused")


def test_a_reload_is_survived(browser: Any, rain: Heard) -> None:
    """A reload of the daemon while the page is open: scores go on, nothing is complained of in the console, and what
    was set stays."""
    rain.open(browser)
    wait_for(lambda: browser.execute_script(MOVE, "rain", 0.5), "there is a slider")
    wait_for(lambda: said(browser) == "porch: rain begins at 0.5 now.", lambda: said(browser))
    for n in range(3):
        rain.one.hang_up()
        wait_for(lambda n=n: rain.one.log.count("reloaded in") > n, "it is reloaded")
    watch = """window.moved = 0;
        new MutationObserver(() => window.moved++).observe(document.querySelector(".scores"),
            { attributes: true, childList: true, subtree: true, characterData: true })"""
    browser.execute_script(watch)
    wait_for(lambda: browser.execute_script("return window.moved") > 3, "scores go on")
    shown = "return Number(document.querySelector('[data-label=rain] input[type=range]').value)"
    wait_for(lambda: browser.execute_script(shown) == 0.5, "the slider is where it was set")
    assert browser.execute_script("return document.getElementById('trouble').hidden")
    assert not [
        entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE" and "401" not in entry["message"]
    ]


def test_a_clip_plays_and_is_the_recording(browser: Any, tmp_path: Path) -> None:
    """A press on an event's button plays its clip; the samples that the browser decodes are the recording's, all of
    them and no other."""
    model = kept.model(tmp_path / "models")
    with heard(tmp_path, kept.configuration(tmp_path, model, {})) as here:
        here.open(browser)

        def first() -> Clip | None:
            told = ask(here.one.query, AskEvents(), History).messages
            return next((each for each in told if isinstance(each, Clip) and each.path), None)

        clip = wait_for(first, "a clip")
        assert clip.path is not None
        assert clip.sample is not None
        pressed(browser, "Play")
        played = "return [document.getElementById('player').currentTime, document.getElementById('player').error]"
        wait_for(lambda: browser.execute_script(played)[0] > 0.1, lambda: str(browser.execute_script(played)))
        assert browser.execute_script(played)[1] is None
        path = "/api/clip/" + "/".join(Path(clip.path).parts[-2:])
        rate, content = browser.execute_async_script(DECODE, path, clip.rate)
        assert rate == clip.rate, content
        samples = np.frombuffer(base64.b64decode(content), "<f4")
        recording = kept.scene()[clip.sample : clip.sample + clip.samples]
        # Chromium maps 32767 to 1 and -32768 to -1, as Web Audio's samples have no more than either.
        whole = samples * np.where(samples > 0, 2.0**15 - 1, 2.0**15)
        np.testing.assert_allclose(whole, recording, rtol=0, atol=0.01)
        np.testing.assert_array_equal(np.rint(whole), recording)


def test_a_source_is_paused_and_heard_again(browser: Any, tmp_path: Path, require: Callable[[bool, str], None]) -> None:
    """The button of a live source closes it, in the daemon, until the other one opens it."""
    require(which("ffmpeg") is not None, "ffmpeg")
    write(tmp_path / "noise.wav", varied(5.0))
    source = {"url": str(tmp_path / "noise.wav"), "options": ["-re", "-stream_loop", "-1"]}
    with heard(tmp_path, configuration(tmp_path, sources=[{"name": "hall", "ffmpeg": source}])) as here:
        here.open(browser)

        def state() -> str:
            return ask(here.one.query, AskStatus(), Report).sources["hall"].state

        browser.execute_script("document.querySelector('.tools select').value = '1800'")
        pressed(browser, "Pause")
        wait_for(lambda: said(browser).startswith("hall is closed until "), lambda: said(browser))
        wait_for(lambda: state() == "paused", "it is paused")
        until_s = time.time() + 1800
        assert time.strftime("%H", time.localtime(until_s)) in said(browser)
        pressed(browser, "Resume")
        wait_for(lambda: said(browser) == "hall is heard again.", lambda: said(browser))
        wait_for(lambda: state() in ("running", "found"), "it is heard")


def test_marks_are_made_where_the_event_stands(browser: Any, rain: Heard) -> None:
    """An event is marked as right, then as a false alarm, which the last one counts; what was missed by its label; the
    buttons show what holds, also when the page is loaded anew."""
    rain.open(browser)
    wait_for(lambda: browser.execute_script(MOVE, "rain", 0.05), "there is a slider")
    with Client(rain.one.events, topics=["mark.", "score."]) as client:
        wait_for(lambda: isinstance(client.receive(1), Scores), "it listens")

        def marked() -> Mark:
            return wait_for(lambda: item if isinstance(item := client.receive(1), Mark) else None, "a mark")

        pressed(browser, "Right")
        right = marked()
        pressed(browser, "False alarm")
        false = marked()
        browser.execute_script("document.querySelector('.missed input').value = 'Sea waves'")
        pressed(browser, "Missed just now")
        missed = marked()
    assert (right.kind, right.label, right.source) == ("right", "rain", "porch")
    assert (false.kind, false.label) == ("false", "rain")
    assert (missed.kind, missed.label, missed.source) == ("missed", "sea_waves", "porch")
    wait_for(lambda: said(browser) == "sea waves at porch is marked as missed.", lambda: said(browser))
    script = """return [...document.querySelectorAll(`tr[data-id="${arguments[0]}"] [aria-pressed=true]`)]
        .map((each) => each.innerText)"""
    wait_for(lambda: browser.execute_script(script, false.event) == ["False alarm"], "the button shows it")
    rain.open(browser)
    wait_for(lambda: browser.execute_script(script, false.event) == ["False alarm"], "the button shows it again")
    browser.execute_script("document.querySelector('.missed input').value = 'no such label'")
    pressed(browser, "Missed just now")
    wait_for(lambda: "no_such_label" in said(browser), lambda: said(browser))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_with_its_controls_it_is_for_everybody(browser: Any, rain: Heard, scheme: str) -> None:
    """With sliders, buttons and what was set on it, on a phone, light or dark: nothing lies beside the screen, the tab
    key reaches everything, what has the focus keeps it, and axe-core finds nothing serious."""
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    size = {"width": 320, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    try:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        rain.open(browser)
        wait_for(lambda: browser.execute_script(MOVE, "rain", 0.06), "there is a slider")
        wait_for(lambda: said(browser) == "porch: rain begins at 0.06 now.", lambda: said(browser))
        wait_for(
            lambda: browser.execute_script("return document.querySelector('.actions button') !== null"), "an event"
        )
        wide, screen = browser.execute_script("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide <= screen == 320
        assert not serious(browser)
        beyond = """return [...document.querySelectorAll("button, input, select, summary, audio, [tabindex='0']")]
            .filter((each) => each.tabIndex < 0).length"""
        assert browser.execute_script(beyond) == 0
        focus = """document.querySelector(".actions button").focus(); window.kept = document.activeElement.dataset.key;
            window.rows = document.getElementById("events").children.length"""
        browser.execute_script(focus)
        wait_for(
            lambda: browser.execute_script("return document.activeElement.dataset.key === window.kept"), "it is kept"
        )
        pressed(browser, "Undo the last change")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
