"""Live captions in a real browser, against the service on the bundled checkpoint: what is said is what is read."""

import re
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
import pytest_asyncio
from chromium import chromium, skip_without_browser
from keys import KEY, OTHER_KEY
from media import wav
from running_service import Service, serving
from websockets.asyncio.client import connect

from src.settings import Settings

skip_without_browser()

from browser import INSECURE, RATE, Line, Microphone, Socket, Visit, serious_findings  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="session")

FIRST, SECOND = "piper-joe-1", "rhvoice-slt-1"
NETWORK_FAILS = ("Failed to load resource", "WebSocket connection to")
"""What Chromium says itself when an answer is no success, or a connection is lost."""


def address(service: Service, rest: str = "") -> str:
    return f"http://127.0.0.1:{service.port}/{rest}"


async def start(seen: Visit) -> None:
    await seen.page.get_by_role("button", name="Start captions").click()


async def stop(seen: Visit) -> None:
    await seen.page.get_by_role("button", name="Stop captions").click()
    await seen.page.get_by_role("button", name="Start captions").wait_for()


async def fail_to_record(seen: Visit, name: str) -> None:
    """Let the browser of a page fail with an error of a name."""
    await seen.page.evaluate(
        "name => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', name); }; }", name
    )


def texts_of_turns(socket: Socket, service: Service) -> list[str]:
    """The text that the file route has of each turn's audio, as the page has sent it."""
    audio = socket.audio
    parts = [np.frombuffer(audio[start:end], "<i2") for start, end in socket.turns]
    return [service.upload(wav(part / np.float32(32768), RATE)).raise_for_status().json()["text"] for part in parts]


async def test_each_turn_has_the_text_of_its_audio_also_when_the_page_stalls(
    visit, service: Service, microphone: Microphone
):
    microphone.speaks(0.5, FIRST, 1.2, SECOND, 2.0)
    seen = await visit(address(service))
    await seen.page.evaluate(
        """() => {
          window.jumps = 0;
          const add = (list) => list.getEntries().forEach((entry) => { jumps += entry.value; });
          new PerformanceObserver(add).observe({ type: "layout-shift" });
        }"""
    )
    await start(seen)
    await seen.page.locator(".turn").first.wait_for()
    await seen.page.evaluate("() => { const end = performance.now() + 3000; while (performance.now() < end); }")
    await seen.has_lines(2)
    await stop(seen)
    (socket,) = seen.sockets
    assert await seen.lines() == texts_of_turns(socket, service)
    assert len(await seen.lines()) == 2
    assert await seen.page.locator("#spoken p").all_inner_texts() == await seen.lines()
    assert await seen.page.locator("#spoken p[lang=en]").count() == 2
    assert await seen.page.locator(".turn p[lang=en]").count() == 2
    assert await seen.page.get_by_role("log", name="Captions").get_attribute("aria-live") == "off"
    assert all(
        re.fullmatch(r"\d\d:\d\d:\d\d", each) for each in await seen.page.locator(".turn time").all_inner_texts()
    )
    assert await seen.page.evaluate("jumps") < 0.05, "what stands on the page has moved"  # "good" is below 0.1


async def test_a_lost_connection_loses_nothing_and_doubles_nothing(visit, service: Service, microphone: Microphone):
    microphone.speaks(0.5, FIRST, 1.2, SECOND, 2.0)
    async with Line(service.port).open() as line:
        seen = await visit(f"http://127.0.0.1:{line.port}/")
        seen.allow(*NETWORK_FAILS)
        await start(seen)
        await seen.has_lines(1)
        await seen.page.locator(".turn").nth(1).wait_for()
        line.cut()
        assert "The connection is lost." in await seen.problem()
        line.mend()
        await seen.has_lines(2)
        assert await seen.page.locator("#problem").is_hidden()
        await stop(seen)
    first, *_, last = [socket for socket in seen.sockets if socket.received]
    expected = texts_of_turns(first, service) + texts_of_turns(last, service)
    assert await seen.lines() == expected
    assert len(expected) == 2
    (_, end) = first.turns[-1]
    assert last.audio.startswith(first.audio[end:])


async def test_what_refuses_the_microphone_is_said_with_what_to_do(visit, service: Service):
    denied = await visit(address(service), permissions=())
    session = await denied.page.context.new_cdp_session(denied.page)
    await session.send("Browser.setPermission", {"permission": {"name": "microphone"}, "setting": "denied"})
    if not chromium().has_dialogs:
        await fail_to_record(denied, "NotAllowedError")
    missing = await visit(address(service))
    await fail_to_record(missing, "NotFoundError")
    insecure = await visit(address(service).replace("127.0.0.1", INSECURE))
    said = []
    for seen in (denied, missing, insecure):
        await start(seen)
        said.append(await seen.problem())
        assert await seen.page.get_by_role("button", name="Start captions").is_enabled()
        assert not seen.sockets
    assert "may not use the microphone" in said[0]
    assert "has no microphone" in said[1]
    assert "https" in said[2]


@pytest.fixture(scope="module")
def guarded(tiny, tmp_path_factory) -> Iterator[Service]:
    """A service with keys and a single place for a session."""
    settings = Settings(model_id="tiny", log_dir=tmp_path_factory.mktemp("logs"), api_keys=KEY, max_sessions=1)
    with serving(settings, lambda _: tiny) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def with_key(visit, guarded: Service) -> AsyncIterator[Visit]:
    seen = await visit(address(guarded))
    seen.allow(*NETWORK_FAILS)
    yield seen
    for _, asked in seen.requests:
        assert KEY not in asked
    assert all(KEY not in socket.url and "ek_" not in socket.url for socket in seen.sockets)
    assert KEY not in await seen.page.evaluate("JSON.stringify(localStorage)")


async def test_a_missing_and_a_wrong_key_are_said_and_the_right_one_works(with_key: Visit, microphone: Microphone):
    microphone.speaks(0.5, FIRST, 1.0)
    field = with_key.page.get_by_label("API key")
    await start(with_key)
    missing = await with_key.problem()
    assert await field.evaluate("field => field === document.activeElement")
    await field.fill(OTHER_KEY)
    await start(with_key)
    await with_key.page.get_by_text("does not know this API key").wait_for()
    assert "wants an API key" in missing
    await field.fill(f"Bearer {KEY}")  # no header can hold a space in it
    await start(with_key)
    await with_key.page.get_by_text("does not know this API key").wait_for()
    assert await with_key.page.get_by_role("button", name="Start captions").is_visible()
    await field.fill(KEY)
    await start(with_key)
    await with_key.has_lines(1)
    await stop(with_key)
    assert await with_key.page.evaluate("sessionStorage.getItem('parakeet.key')") == KEY


async def test_a_full_server_is_said_with_the_seconds_and_tried_again(
    with_key: Visit, guarded: Service, microphone: Microphone
):
    microphone.speaks(0.5, FIRST, 1.0)
    await with_key.page.get_by_label("API key").fill(KEY)
    async with connect(
        f"ws://127.0.0.1:{guarded.port}/v1/realtime", additional_headers={"Authorization": f"Bearer {KEY}"}
    ):
        await start(with_key)
        assert re.search(r"server is full.*Trying again in \d+ s", await with_key.problem())
    await with_key.has_lines(1)
    assert await with_key.page.locator("#problem").is_hidden()
    await stop(with_key)


async def test_captions_mode_asks_for_the_key_where_it_can_be_seen(with_key: Visit, guarded: Service):
    await with_key.page.goto(address(guarded, "?captions"))
    assert await with_key.page.get_by_label("API key").is_hidden()
    await start(with_key)
    await with_key.page.get_by_label("API key").wait_for()


async def test_captions_mode_follows_its_address(visit, service: Service, microphone: Microphone):
    microphone.speaks(0.5, FIRST, 1.0)
    seen = await visit(address(service, "?captions&size=64&color=ffe45c&background=102030"))
    await start(seen)
    await seen.has_lines(1)
    captions = seen.page.get_by_role("log", name="Captions")
    look = await captions.evaluate("log => [getComputedStyle(log).fontSize, getComputedStyle(log).color]")
    assert look == ["64px", "rgb(255, 228, 92)"]
    assert await captions.evaluate("log => log.clientHeight") == round(2 * 1.4 * 64)
    assert await seen.page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == "rgb(16, 32, 48)"
    assert await seen.page.get_by_role("heading", name="Files").is_hidden()
    await seen.page.get_by_role("button", name="Leave captions mode").click()
    await seen.page.get_by_role("heading", name="Files").wait_for()
    focus = "document.activeElement.id"
    assert await seen.page.evaluate(focus) == "enter-mode"
    await seen.page.get_by_role("button", name="Captions mode", exact=True).click()
    assert await captions.evaluate("log => getComputedStyle(log).fontSize") == "64px"
    assert await seen.page.evaluate(focus) == "start"
    await stop(seen)
    clear = await visit(address(service, "?captions&transparent"))
    behind = "getComputedStyle(document.documentElement).backgroundColor"
    assert await clear.page.evaluate(behind) == "rgba(0, 0, 0, 0)"
    await clear.page.keyboard.press("Escape")
    await clear.page.get_by_role("heading", name="Files").wait_for()


async def test_the_address_for_obs_starts_by_itself_with_the_kept_microphone(
    visit, service: Service, microphone: Microphone
):
    microphone.speaks(0.5, FIRST, 1.0)
    seen = await visit(address(service))
    await seen.page.evaluate("localStorage.setItem('parakeet.device', '\"kept\"')")
    await seen.page.add_init_script(
        """
        window.asked = [];
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
        navigator.mediaDevices.getUserMedia = (wanted) => {
          asked.push(wanted.audio.deviceId);
          return ask(wanted);
        };
        """
    )
    await seen.page.goto(await seen.page.get_by_label("Address for OBS or a second screen").input_value())
    await seen.has_lines(1)
    assert await seen.page.evaluate("asked") == [{"exact": "kept"}, None]  # it is not connected: any other will do
    await stop(seen)


async def test_the_keyboard_is_enough_and_choices_are_kept(visit, service: Service, microphone: Microphone):
    microphone.speaks(3.0)
    seen = await visit(address(service))
    page = seen.page
    await page.locator("summary").first.press("Enter")
    await page.get_by_label("A line ends after").select_option("1000")
    await page.get_by_label("Hot words").fill("Anna, Thomas")
    await page.keyboard.press("Tab")
    await page.reload()
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Start captions"
    await page.keyboard.press("Enter")
    await page.get_by_text("Listening.").wait_for()
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Start captions").wait_for()
    update = seen.sockets[-1].sent[0]["session"]["audio"]["input"]
    assert update["turn_detection"]["silence_duration_ms"] == 1000
    assert update["transcription"]["keywords"] == ["Anna", "Thomas"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_serious_keeps_anybody_from_using_the_page(
    visit, service: Service, microphone: Microphone, scheme
):
    seen = await visit(address(service), color_scheme=scheme, viewport={"width": 320, "height": 700})
    await seen.page.locator("summary").first.click()
    await fail_to_record(seen, "NotFoundError")
    await start(seen)
    await seen.problem()
    assert await serious_findings(seen.page) == []
    assert await seen.page.evaluate("document.documentElement.scrollWidth") <= 320
