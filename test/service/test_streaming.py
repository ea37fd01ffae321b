"""Streamed answers: text as it is transcribed, one end, errors as events, and no work for clients that left."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import openai_schema
import pytest
from fakes import HeldModel
from media import CLIPS
from running_service import Service, serving, until

from src.settings import Settings
from src.text.transcript import Transcript

ROUTE = "/v1/audio/transcriptions"
LONG = (CLIPS / "long-60s.flac").read_bytes()
CLIP = (CLIPS / "piper-joe-1.flac").read_bytes()


def events(response: httpx.Response) -> list[dict]:
    """The events of a body of `data:` lines, each followed by a blank one."""
    *blocks, rest = response.text.split("\n\n")
    assert rest == ""
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


@pytest.fixture(scope="module")
def chunked(tiny, tmp_path_factory):
    """A service that cuts whatever is longer than 20 s."""
    settings = Settings(model_id="tiny", chunk_seconds=20, max_queue_wait_s=60, log_dir=tmp_path_factory.mktemp("logs"))
    with serving(settings, lambda _: tiny) as running:
        yield running


def test_long_audio_comes_in_deltas_whose_join_is_the_text(chunked: Service):
    response = chunked.upload(LONG, stream="true")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-accel-buffering"] == "no"
    *deltas, done = events(response)
    assert {each["type"] for each in deltas} == {"transcript.text.delta"}
    assert len(deltas) >= 3
    assert done["type"] == "transcript.text.done"
    assert done["text"] == "".join(each["delta"] for each in deltas) == chunked.upload(LONG).json()["text"]


def test_who_asks_for_no_times_gets_none(chunked: Service):
    *deltas, done = events(chunked.upload(LONG, stream="true", response_format="json"))
    assert {tuple(each) for each in deltas} == {("type", "delta")}
    assert set(done) == {"type", "text", "usage"}


TIMES: dict[str, Any] = {"timestamp_granularities[]": ["word", "segment"]}


def timed_events(service: Service, audio: bytes) -> tuple[list[Any], Any]:
    """The events of a stream with all times: those before the last, and the last."""
    body = service.upload(audio, stream="true", response_format="verbose_json", **TIMES).content
    *parts, done = openai_schema.timed_events_of(body)
    return parts, done


def test_segments_of_a_stream_come_while_its_text_grows(service: Service):
    parts, done = timed_events(service, LONG)
    kinds = [each.type.rpartition(".")[2] for each in parts]
    assert kinds.count("delta") >= 6  # one for each ten seconds
    assert "delta" in kinds[kinds.index("segment") :]
    segments = [each for each in parts if each.type == "transcript.text.segment"]
    assert "".join(each.text for each in segments) == f" {done.text}"
    assert [word for each in segments for word in each.words] == done.words
    assert [(each.start, each.end) for each in segments] == [(each.start, each.end) for each in done.segments]
    assert done.duration == 60.446625


def test_words_segments_and_cues_of_a_stream_are_those_of_the_formats(service: Service):
    _, done = timed_events(service, CLIP)
    whole = service.upload(CLIP, response_format="verbose_json", **TIMES).json()
    names = {"text", "language", "duration", "segments", "words"}
    assert json.loads(done.model_dump_json(include=names, exclude_unset=True)) == {name: whole[name] for name in names}
    srt = service.upload(CLIP, response_format="srt").text
    assert [f"{cue.text}\n" for cue in done.cues] == re.findall(r"-->.*\n((?:.+\n)+)", srt)


def test_a_short_clip_streams_the_text_it_has_without_streaming(service: Service):
    delta, done = events(service.upload(CLIP, stream="true"))
    assert delta["delta"] == done["text"] == service.upload(CLIP).json()["text"]


def test_silence_streams_an_empty_text(service: Service):
    (done,) = events(service.upload((CLIPS / "silence-2s.flac").read_bytes(), stream="true"))
    assert (done["type"], done["text"]) == ("transcript.text.done", "")


def test_an_error_before_the_first_byte_is_an_ordinary_one(service: Service):
    response = service.upload(b"no audio", stream="true")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_audio"


class BrokenAfter(HeldModel):
    """A model that runs some batches and then none any more."""

    def __init__(self, batches: int) -> None:
        super().__init__(held=False)
        self._left = batches

    def transcribe(self, batch):
        if not self._left:
            raise RuntimeError("broken")
        self._left -= 1
        return [Transcript("words") for _ in super().transcribe(batch)]


def test_an_error_after_the_first_byte_is_an_event_and_the_end(tmp_path):
    settings = Settings(chunk_seconds=20, microbatch_max_batch=1, log_dir=tmp_path)
    with serving(settings, lambda _: BrokenAfter(1)) as running:
        response = running.upload(LONG, stream="true")
    delta, error = events(response)
    assert (delta["type"], error["type"]) == ("transcript.text.delta", "error")
    assert error["error"]["code"] == "transcription_failed"
    (line,) = (tmp_path / "metrics" / "metrics.log").read_text().splitlines()
    assert (json.loads(line)["status"], json.loads(line)["error"]) == ("error", "transcription_failed")


@pytest.fixture
def held() -> Iterator[HeldModel]:
    model = HeldModel()
    yield model
    model.release_all()


def test_a_client_that_leaves_a_stream_cancels_the_rest(held, tmp_path):
    settings = Settings(chunk_seconds=10, microbatch_max_batch=1, lanes=1, log_dir=tmp_path)
    with serving(settings, lambda _: held) as running:
        held.release()  # one batch, whose text is the first delta
        with running.http.stream("POST", ROUTE, files={"file": LONG}, data={"stream": "true"}) as response:
            next(response.iter_bytes())
        until(lambda: running.scheduler.waiting == 0 and running.scheduler.preparing == 0)
        held.release_all()
        until(lambda: running.scheduler.idle)
        assert len(held.batches) <= 3  # of more than 6: the first, the one that the model has, and the next
    (line,) = (tmp_path / "metrics" / "metrics.log").read_text().splitlines()
    assert json.loads(line)["code"] == 499
