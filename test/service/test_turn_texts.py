"""Turns that are transcribed in a pause: their texts are those of a file with all of their audio."""

from collections.abc import Iterator

import numpy as np
import pytest
from live_text import default
from media import CLIPS, as_pcm16, clip, pcm16
from realtime_client import COMPLETED, session, speech
from running_service import Service
from session_harness import RATE, SessionHarness, append, kinds, silence, update

from src.audio.samples import Samples
from src.text.transcript import Transcript

PIECE = RATE // 10
STEP_S = 0.24
NAMES = sorted(path.stem for path in CLIPS.glob("*.flac") if not path.stem.startswith("long"))
SENTENCES = [name for name in NAMES if not name.startswith(("noise", "silence"))]


class Files:
    """The texts of files on a service."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._texts: dict[bytes, str] = {}

    def text(self, audio: Samples) -> str:
        """Return the text of a file with this audio. The same file is transcribed once."""
        data = pcm16(audio)
        if data not in self._texts:
            answer = self.service.post(data, "audio/pcm;rate=16000;channels=1")
            self._texts[data] = answer.raise_for_status().json()["text"]
        return self._texts[data]


@pytest.fixture(scope="module")
def files(service: Service) -> Files:
    return Files(service)


def texts_of_turns(files: Files, audio: Samples) -> Iterator[tuple[str, str, bool]]:
    """Yield for each turn its text, that of a file with its audio, and whether the turn ended with its text.

    The detector and the transcription are real. Nobody looks at the live text.
    """
    harness = SessionHarness(
        windowing=default(),
        new_speech_stream=files.service.services.detector.new_stream,
        final=lambda samples: Transcript(files.text(samples)),
    )
    harness.send(update({}))
    audio = as_pcm16(silence(0.6), audio, silence(0.8))
    with_end = set()
    for start in range(0, len(audio), PIECE):
        at_once = harness.send(append(audio[start : start + PIECE]))
        with_end |= {event["item_id"] for event in at_once if kinds([event]) == ["completed"]}
        while work := harness.session.next_work(STEP_S):
            harness.run(work)
    spans = {event["item_id"]: [event["audio_start_ms"]] for event in harness.received if "audio_start_ms" in event}
    for event in harness.received:
        if "audio_end_ms" in event:
            spans[event["item_id"]].append(event["audio_end_ms"])
    for event in harness.received:
        if kinds([event]) == ["completed"]:
            start, end = (ms * RATE // 1000 for ms in spans[event["item_id"]])
            yield event["transcript"], files.text(audio[start:end]), event["item_id"] in with_end


def with_a_pause(name: str) -> Samples:
    """A clip with a pause in the middle that does not end the turn."""
    samples = clip(name)
    return np.concatenate([samples[: len(samples) // 2], silence(0.3), samples[len(samples) // 2 :]])


def in_noise(name: str) -> Samples:
    """A clip in the noise of a room, which goes on when the speech ends."""
    samples = np.concatenate([silence(0.5), clip(name), silence(0.9)])
    noise = np.tile(clip("noise-pink-4s"), 5)[: len(samples)]
    return samples + 0.02 * np.abs(samples).max() / np.abs(noise).max() * noise


@pytest.mark.parametrize("audio_of", [clip, with_a_pause], ids=["clips", "with a pause"])
def test_the_text_of_every_turn_is_that_of_a_file_and_most_come_with_its_end(files, audio_of):
    turns = [turn for name in NAMES for turn in texts_of_turns(files, audio_of(name))]
    assert [text for text, _, _ in turns] == [text for _, text, _ in turns]
    assert sum(with_end for _, _, with_end in turns) >= 0.9 * len(turns) > 30


def test_in_noise_hardly_any_text_is_another_for_the_silence_that_was_made(files):
    turns = [turn for name in SENTENCES for turn in texts_of_turns(files, in_noise(name))]
    assert sum(text != of_file for text, of_file, _ in turns) <= 1
    assert sum(with_end for _, _, with_end in turns) >= 0.8 * len(turns) > 30


def test_a_turn_over_a_port_has_the_text_of_a_file(service):
    audio = speech("long-30s.flac")[: 10 * 32_000] + bytes(32_000)
    with session(service, "?intent=transcription&sample_rate=16000") as client:
        client.append(audio, 3200)
        events = client.until(COMPLETED)
    start, end = (
        next(event[name] for event in events if name in event) * 32 for name in ("audio_start_ms", "audio_end_ms")
    )
    of_file = service.post(audio[start:end], "audio/pcm;rate=16000;channels=1").json()["text"]
    assert events[-1]["transcript"] == of_file != ""
