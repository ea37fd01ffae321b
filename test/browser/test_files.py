"""The Files part of the page in a real browser, with the real service."""

import asyncio
import json
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from chromium import skip_without_browser
from fakes import HeldModel
from films import SPEECH, film
from guarded_service import guarded
from keys import KEY
from media import CLIPS, wav
from running_service import Service, serving

from src.metrics.log import metrics_path
from src.settings import Settings

skip_without_browser()

from browser import Line, Visit, serious_findings  # noqa: E402 # it needs Playwright

pytestmark = pytest.mark.asyncio(loop_scope="session")

CLIP = "piper-joe-1.flac"
LONG = "long-30s.flac"
DOWNLOADS = {"Text": "text", "SRT": "srt", "VTT": "vtt", "JSON": "verbose_json"}
HEARD = "[...(CSS.highlights.get('heard') ?? [])].map(String)"
FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def address(service: Service) -> str:
    return f"http://127.0.0.1:{service.port}/"


def payload(name: str, data: bytes) -> dict[str, Any]:
    """Return a file for `set_input_files` under any name."""
    return {"name": name, "mimeType": "", "buffer": data}


async def choose(seen: Visit, *files: Any) -> None:
    await seen.page.locator("input[type=file]").set_input_files(list(files))


async def transcribed(seen: Visit, *names: str) -> None:
    """Choose bundled clips, and wait until they are transcribed."""
    await choose(seen, *(CLIPS / name for name in names))
    for name in names:
        await card(seen, name).get_by_role("link", name="JSON").wait_for()


def card(seen: Visit, name: str) -> Any:
    return seen.page.get_by_role("article", name=name, exact=True)


def verbose(service: Service, name: str) -> dict[str, Any]:
    """Return the last event of a stream with times: of long audio its words differ from those of a whole answer."""
    fields: dict[str, Any] = {
        "response_format": "verbose_json",
        "timestamp_granularities[]": ["word", "segment"],
        "stream": "true",
    }
    answer = service.upload((CLIPS / name).read_bytes(), **fields)
    return json.loads(answer.text.split("data: ")[-1])


def content_of(path: Path) -> bytes:
    return Path(path).read_bytes()


def requests(service: Service) -> int:
    """Return how many requests the metrics log of a service that has ended names."""
    return len(metrics_path(service.log_dir).read_text().splitlines())


def fresh(model: Any, tmp_path: Path, **settings: Any) -> AbstractContextManager[Service]:
    """Run a service of its own on a model."""
    return serving(Settings(model_id="tiny", log_dir=tmp_path, **settings), lambda _: model)


async def click_word(seen: Visit, word: str) -> None:
    """Click a word of the first transcript, the first that is written so."""
    place = await seen.page.evaluate(
        """(word) => {
            const node = [...document.querySelectorAll(".block p")].map((each) => each.firstChild)
                .find((each) => each.data.includes(word));
            node.parentElement.scrollIntoView({ block: "center" });
            const range = new Range();
            range.setStart(node, node.data.indexOf(word));
            range.setEnd(node, node.data.indexOf(word) + word.length);
            const { left, top, width, height } = range.getBoundingClientRect();
            return [left + width / 2, top + height / 2];
        }""",
        word,
    )
    await seen.page.mouse.click(*place)


async def test_a_file_becomes_four_files_that_are_the_services_answers_and_is_transcribed_once(
    visit, tiny, stored_texts, tmp_path
):
    with fresh(tiny, tmp_path) as service:
        seen = await visit(address(service))
        await transcribed(seen, CLIP)
        assert stored_texts[CLIP] in await card(seen, CLIP).inner_text()
        for name, response_format in DOWNLOADS.items():
            async with seen.page.expect_download() as saving:
                await card(seen, CLIP).get_by_role("link", name=name, exact=True).click()
            saved = await saving.value
            assert saved.suggested_filename.startswith("piper-joe-1.")
            fields: dict[str, Any] = {
                "response_format": response_format,
                "timestamp_granularities[]": ["word", "segment"],
            }
            answer = service.upload((CLIPS / CLIP).read_bytes(), **fields)
            assert content_of(await saved.path()) == answer.content
        posts = [path for method, path in seen.requests if method == "POST"]
        assert posts == [f"{address(service)}v1/audio/transcriptions"]
    assert requests(service) == 1 + len(DOWNLOADS)  # one of the page's, and those that it is compared with


async def test_several_files_wait_for_their_turn_and_all_are_transcribed(visit, service):
    names = [CLIP, "flite-slt-1.flac", "rhvoice-clb-1.flac", "silence-2s.flac"]
    seen = await visit(address(service))
    await transcribed(seen, *names)
    for name in names[:3]:
        assert verbose(service, name)["text"] in await card(seen, name).inner_text()
    assert "No speech was found" in await card(seen, names[3]).inner_text()


async def test_a_click_on_a_word_plays_from_it(visit, service):
    seen = await visit(address(service))
    await transcribed(seen, LONG)
    words = verbose(service, LONG)["words"]
    spoken = [word["word"] for word in words]
    word = next(each for each in words[20:] if spoken.count(each["word"]) == 1 and len(each["word"]) > 4)
    await seen.page.evaluate(
        "document.querySelector('audio').addEventListener('seeking', (e) => (window.sought ??= e.target.currentTime))"
    )
    await click_word(seen, word["word"])
    await card(seen, LONG).get_by_role("button", name="Pause").wait_for()
    assert abs(await seen.page.evaluate("window.sought") - word["start"]) < 0.01
    marked = "(async () => { document.querySelector('audio').pause(); %s })()"
    await seen.page.evaluate(marked % f"await {FRAMES}")
    now_s, heard = await seen.page.evaluate(f"[document.querySelector('audio').currentTime, {HEARD}]")
    expected = [each["word"] for each in words if each["start"] <= now_s][-1:]
    assert heard in (expected, [])  # nothing is marked in a long pause


async def test_the_keyboard_alone_chooses_a_word_and_plays_from_it(visit, service):
    seen = await visit(address(service))
    await transcribed(seen, LONG)
    words = verbose(service, LONG)["words"]
    text = card(seen, LONG).get_by_role("group", name=f"Text of {LONG}")
    await text.focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
        await seen.page.keyboard.press(key)
    assert (await seen.page.locator("#spoken p").last.inner_text()).startswith(f"{words[2]['word']}, ")
    await seen.page.evaluate(
        "document.querySelector('audio').addEventListener('seeking', (e) => (window.sought ??= e.target.currentTime))"
    )
    await seen.page.keyboard.press("Enter")
    await card(seen, LONG).get_by_role("button", name="Pause").wait_for()
    assert abs(await seen.page.evaluate("window.sought") - words[2]["start"]) < 0.01
    await seen.page.keyboard.press("Space")
    await card(seen, LONG).get_by_role("button", name="Play", exact=True).wait_for()


async def test_search_goes_from_place_to_place(visit, service):
    seen = await visit(address(service))
    await transcribed(seen, LONG)
    expected = verbose(service, LONG)["text"].lower().count("the")
    field = card(seen, LONG).get_by_role("searchbox")
    await field.fill("THE")
    await card(seen, LONG).get_by_text(f"1 of {expected}").wait_for()
    await field.press("Shift+Enter")
    await card(seen, LONG).get_by_text(f"{expected} of {expected}").wait_for()
    await field.fill("xyzzy")
    await card(seen, LONG).get_by_text("Not found").wait_for()


async def test_segments_have_their_times(visit, service):
    seen = await visit(address(service))
    await transcribed(seen, LONG)
    await card(seen, LONG).get_by_role("radio", name="Segments").check()
    segments = verbose(service, LONG)["segments"]
    blocks = card(seen, LONG).locator(".block")
    assert await blocks.locator("p").all_inner_texts() == [each["text"].strip() for each in segments]
    times = [f"{int(each['start'] // 60)}:{int(each['start'] % 60):02}" for each in segments]
    assert await blocks.locator("button").all_inner_texts() == times


async def test_speakers_stand_above_what_they_say(visit, service):
    seen = await visit(address(service))
    await seen.page.get_by_role("checkbox", name="Say who speaks").check()
    await transcribed(seen, CLIP)
    assert await card(seen, CLIP).locator(".speaker").all_inner_texts() == ["A"]


async def test_a_file_named_like_html_is_shown_as_text(visit, service):
    name = "<img src=x onerror=alert(1)>.wav"
    seen = await visit(address(service))
    await choose(seen, payload(name, wav(SPEECH)))
    await card(seen, name).get_by_role("link", name="SRT").wait_for()
    assert await card(seen, name).get_by_role("heading").inner_text() == name
    assert await seen.page.locator("img").count() == 0


async def test_cancel_and_try_again(visit, tmp_path):
    model = HeldModel()
    with fresh(model, tmp_path, max_queue_wait_s=60) as service:
        seen = await visit(address(service))
        await choose(seen, CLIPS / CLIP)
        await asyncio.to_thread(model.started.acquire)
        await card(seen, CLIP).get_by_role("button", name="Cancel").click()
        await card(seen, CLIP).get_by_text("Cancelled.").wait_for()
        model.release_all()
        await card(seen, CLIP).get_by_role("button", name="Try again").click()
        await card(seen, CLIP).get_by_role("link", name="Text").wait_for()


async def test_a_full_service_is_asked_again_by_itself(visit, tmp_path):
    model = HeldModel()
    with fresh(model, tmp_path, max_queue_wait_s=60, max_concurrent_per_client=1) as service:
        other = Thread(target=service.upload, args=(wav(SPEECH),))
        other.start()
        await asyncio.to_thread(model.started.acquire)
        seen = await visit(address(service))
        seen.allow("status of 429")
        await choose(seen, CLIPS / CLIP)
        await card(seen, CLIP).get_by_text("Trying again in").wait_for()
        model.release_all()
        other.join()
        await card(seen, CLIP).get_by_role("link", name="Text").wait_for()


async def test_a_service_with_keys_gets_one_in_a_header_only(visit, tmp_path):
    with guarded(tmp_path) as service:
        seen = await visit(address(service))
        await choose(seen, CLIPS / CLIP)
        await card(seen, CLIP).get_by_text("API key").wait_for()
        assert not any(method == "POST" for method, _ in seen.requests)  # it would be refused after a long upload
        await seen.page.get_by_label("API key").fill(KEY)
        await card(seen, CLIP).get_by_role("button", name="Try again").click()
        await card(seen, CLIP).get_by_role("link", name="Text").wait_for()
        assert not any(KEY in requested for _, requested in seen.requests)


async def test_what_the_service_would_refuse_is_not_sent_and_the_setting_is_named(visit, tmp_path):
    model = HeldModel(held=False)
    with fresh(model, tmp_path, max_audio_seconds=20, max_upload_mb=1) as service:
        seen = await visit(address(service))
        files = payload("long.wav", wav(np.zeros(30 * 16_000, np.float32))), payload("large.bin", bytes(2 << 20))
        await choose(seen, *files)
        await card(seen, "long.wav").get_by_text("PARAKEET_MAX_AUDIO_SECONDS").wait_for()
        await card(seen, "large.bin").get_by_text("PARAKEET_MAX_UPLOAD_MB").wait_for()
        assert not any(method == "POST" for method, _ in seen.requests)


async def test_a_file_that_is_no_audio_is_refused_in_the_services_words(visit, service):
    seen = await visit(address(service))
    seen.allow("status of 400")
    await choose(seen, payload("notes.wav", b"These are notes, and no sound." * 40))
    await card(seen, "notes.wav").get_by_text("damaged").wait_for()


async def test_after_a_lost_connection_the_file_can_be_tried_again(visit, service):
    async with Line(service.port).open() as line:
        seen = await visit(f"http://127.0.0.1:{line.port}/")
        seen.allow("net::ERR")
        line.cut()
        await choose(seen, CLIPS / CLIP)
        await card(seen, CLIP).get_by_text("The connection was lost.").wait_for()
        line.mend()
        await card(seen, CLIP).get_by_role("button", name="Try again").click()
        await card(seen, CLIP).get_by_role("link", name="Text").wait_for()


async def test_a_film_has_subtitles(visit, service, tmp_path):
    data = film([(0.0, SPEECH)], "webm", tmp_path, pictures_s=3.0)
    seen = await visit(address(service))
    await choose(seen, payload("film.webm", data))
    await card(seen, "film.webm").get_by_role("link", name="VTT").wait_for()
    await seen.page.evaluate(
        "new Promise((done) => { const { track, readyState } = document.querySelector('track');"
        "if (readyState === 2) done(); else document.querySelector('track').addEventListener('load', done); })"
    )
    cues = "[...document.querySelector('video').textTracks[0].cues].map((cue) => cue.text)"
    mode, texts = await seen.page.evaluate(f"[document.querySelector('video').textTracks[0].mode, {cues}]")
    assert mode == "showing"
    assert "bicycle" in " ".join(texts)


@pytest.mark.parametrize("colours", ["light", "dark"])
async def test_everybody_can_use_it(visit, service, colours):
    seen = await visit(address(service), color_scheme=colours, viewport={"width": 320, "height": 640})
    seen.allow("status of 400")
    await choose(seen, payload("notes.wav", b"no sound"), payload(CLIP, (CLIPS / CLIP).read_bytes()))
    await card(seen, CLIP).get_by_role("link", name="JSON").wait_for()
    await card(seen, "notes.wav").get_by_role("button", name="Try again").wait_for()
    assert await serious_findings(seen.page) == []
    root = "document.documentElement"
    assert await seen.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")
