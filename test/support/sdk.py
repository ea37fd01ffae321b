"""Shared by the tests of the SDKs: a clip, checks of its answers (as plain JSON), and a service whose queue is full."""

import base64
import math
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dialogues import clips, dialogue, joined
from fakes import HeldModel
from media import CLIPS, wav
from running_service import Service, serving, until

from src.settings import Settings

CLIP = CLIPS / "piper-joe-1.flac"
TEXT = "The black bicycle is under the tree."
WORDS = ["The", "black", "bicycle", "is", "under", "the", "tree"]
LENGTH_S = 2.75

HUB_ID = "nvidia/parakeet-tdt-0.6b-v2"
ALIASES = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
)
"""The model names that clients have built in."""


@cache
def two_speakers() -> bytes:
    """A dialogue of two voices as a WAV file."""
    return wav(dialogue(("piper-joe", "rhvoice-slt"), seed=1, turns=8).samples)


@cache
def known_speakers() -> dict[str, list[str]]:
    """The fields that name its voices, each with a recording of some seconds."""
    voices = [joined(clips()[voice] * 3, [0.1] * len(clips()[voice]) * 3) for voice in ("piper-joe", "rhvoice-slt")]
    recordings = [base64.b64encode(wav(voice.samples[: 6 * 16_000])).decode() for voice in voices]
    return {
        "known_speaker_names": ["Joe", "Slt"],
        "known_speaker_references": [f"data:audio/wav;base64,{each}" for each in recordings],
    }


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def check_times(spans: list[tuple[float, float]], length_s: float = LENGTH_S) -> None:
    """Numbers in seconds, each span after the one before it, all of them within the audio."""
    flat = [time_s for span in spans for time_s in span]
    assert all(map(is_number, flat))
    assert flat == sorted(flat)
    assert flat[0] >= 0
    assert flat[-1] <= length_s
    assert all(start_s < end_s for start_s, end_s in spans)


def check_words(words: list[dict[str, Any]]) -> None:
    assert [word["word"].rstrip(".") for word in words] == WORDS
    check_times([(word["start"], word["end"]) for word in words])


def check_segments(segments: list[dict[str, Any]], text: str = TEXT, length_s: float = LENGTH_S) -> None:
    assert [segment["id"] for segment in segments] == list(range(len(segments)))
    assert " ".join(segment["text"].strip() for segment in segments) == text
    check_times([(segment["start"], segment["end"]) for segment in segments], length_s)
    for segment in segments:
        values = ("seek", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
        assert all(is_number(segment[name]) for name in values)
        assert segment["avg_logprob"] <= 0
        assert all(isinstance(token, int) for token in segment["tokens"])


def check_logprobs(logprobs: list[dict[str, Any]]) -> None:
    assert "".join(each["token"] for each in logprobs).strip() == TEXT
    assert bytes(int(byte) for each in logprobs for byte in each["bytes"]).decode().strip() == TEXT
    assert all(is_number(each["logprob"]) and each["logprob"] <= 0 for each in logprobs)


def check_json(answer: Any) -> None:
    assert answer["text"] == TEXT
    assert "logprobs" not in answer
    assert answer["usage"] == {"type": "duration", "seconds": 3}


def check_verbose_json(answer: Any, granularities: tuple[str, ...] = ("segment",)) -> None:
    assert (answer["task"], answer["language"], answer["text"]) == ("transcribe", "english", TEXT)
    assert abs(answer["duration"] - LENGTH_S) < 0.01
    assert answer["usage"] == {"type": "duration", "seconds": 3}
    assert {"words", "segments"} & set(answer) == {f"{each}s" for each in granularities}
    if "word" in granularities:
        check_words(answer["words"])
    if "segment" in granularities:
        check_segments(answer["segments"])


def check_text(answer: Any) -> None:
    assert answer == f"{TEXT}\n"


def check_srt(answer: Any) -> None:
    time = r"\d\d:\d\d:\d\d,\d{3}"
    numbers = _check_cues(answer, "", rf"(\d+)\n({time}) --> ({time})\n((?:.+\n)+)\n")
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]


def check_vtt(answer: Any) -> None:
    time = r"\d\d:\d\d:\d\d\.\d{3}"
    _check_cues(answer, "WEBVTT\n\n", rf"()({time}) --> ({time})\n((?:.+\n)+)\n")


def _check_cues(answer: Any, opening: str, cue: str) -> list[str]:
    """Return the numbers of the cues of a subtitle file; the groups of `cue` are number, start, end and text."""
    assert isinstance(answer, str)
    assert re.fullmatch(f"{opening}({cue})+", answer)
    cues = re.findall(cue, answer)
    assert " ".join(line for *_, text in cues for line in text.splitlines()) == TEXT
    check_times([(_seconds(start), _seconds(end)) for _, start, end, _ in cues])
    return [number for number, *_ in cues]


def _seconds(stamp: str) -> float:
    hours, minutes, rest = stamp.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


FORMATS = {
    "json": check_json,
    "text": check_text,
    "srt": check_srt,
    "vtt": check_vtt,
    "verbose_json": check_verbose_json,
}


def check_stream(events: list[dict[str, Any]], text: str = TEXT) -> None:
    *deltas, done = events
    assert {event["type"] for event in deltas} == {"transcript.text.delta"}
    assert done["type"] == "transcript.text.done"
    assert "".join(event["delta"] for event in deltas) == done["text"] == text
    usage = done["usage"]
    assert usage["type"] == "tokens"
    assert usage["output_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


class FullService:
    """A service whose only slot is taken by a client that is sending its audio, until `release`."""

    def __init__(self, running: Service, client: socket.socket) -> None:
        self.port = running.port
        self._scheduler = running.scheduler
        self._client = client
        client.sendall(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        until(lambda: self._scheduler.preparing == 1)

    def release(self) -> None:
        """Disconnect that client; returns when its slot is free."""
        self._client.close()
        until(lambda: self._scheduler.preparing == 0)


@contextmanager
def full_service(log_dir: Path) -> Iterator[FullService]:
    """Run a service that answers 429 with `Retry-After: 1`, and once released does what `HeldModel` does."""
    settings = Settings(
        model_id="tiny", log_dir=log_dir, queue_max_factor=1, microbatch_max_batch=1, max_queue_wait_s=1
    )
    with (
        patch(
            "src.scheduling.upload_progress.UploadsInProgress.evictable", return_value=None
        ),  # its client counts as one that gets on
        serving(settings, lambda _: HeldModel(held=False)) as running,
        socket.create_connection(("127.0.0.1", running.port)) as client,
    ):
        yield FullService(running, client)
