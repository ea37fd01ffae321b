"""Turn detection with the real speech detector: on all bundled clips, and in one session among many."""

import itertools
from typing import Any

import numpy as np
import pytest
from media import as_pcm16, clip, pcm16, resampled
from session_harness import SessionHarness, append, silence

from src.audio.vad import SpeechDetector
from src.realtime.audio_batcher import run_round
from src.realtime.turn_detection import TurnDetection, TurnDetector, TurnStarted, TurnStopped


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


@pytest.mark.parametrize("level", [1, 0.1, 0.01])
def test_every_bundled_clip_with_words_is_turns_and_no_other_is(detector, transcripts, level):
    for name, text in transcripts.items():
        samples = as_pcm16(silence(1), clip(name.removesuffix(".flac")) * level, silence(1))
        events = TurnDetector(TurnDetection(), detector.new_stream()).feed(samples)
        assert bool(events) == bool(text), name
        assert [type(event) for event in events] == [TurnStarted, TurnStopped] * (len(events) // 2), name


def conversation(seed: int, names: list[str], seconds: float) -> np.ndarray:
    """Clips in some order and at some level, with pauses before and after each."""
    rng = np.random.default_rng(seed)
    parts = [silence(rng.uniform(0, 1))]
    while sum(map(len, parts)) < seconds * 16_000:
        speech = clip(rng.choice(names).removesuffix(".flac"))[: 6 * 16_000]
        parts += [speech * np.float32(10 ** rng.uniform(-1.5, 0)), silence(rng.uniform(0.1, 1.5))]
    return np.concatenate(parts)


def appends(seed: int, names: list[str], rate: int) -> list[bytes]:
    """A conversation as a client sends it, 40 to 200 ms at a time."""
    wire = pcm16(resampled(conversation(seed, names, 12), rate))
    size = 2 * int(np.random.default_rng(seed).integers(rate // 25, rate // 5))
    return [wire[start : start + size] for start in range(0, len(wire), size)]


def hear_all(detector: SpeechDetector, sessions: list[SessionHarness], appended: list[list[bytes]]) -> None:
    """Let sessions hear what was appended, in rounds of those that have a few frames."""
    for now in itertools.zip_longest(*appended):
        for each, piece in zip(sessions, now, strict=True):
            each.send_only(append(piece or b""))
        while waiting := [each for each in sessions if each.session.audio_due()]:
            results: Any = run_round(detector, [each.session for each in waiting])
            for each, outputs in zip(waiting, results, strict=True):
                each.collect(outputs)


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_the_turns_of_a_session_are_the_same_among_fifty_others(detector, transcripts, rate):
    def new() -> SessionHarness:
        return SessionHarness(rate=rate, new_speech_stream=detector.new_stream, max_audio_s=3.0)  # turns may be cut

    names = [name for name, text in transcripts.items() if text]
    appended = [appends(seed, names, rate) for seed in range(51)]
    together = [new() for _ in appended]
    hear_all(detector, together, appended)
    for each, pieces in zip(together[:5], appended, strict=False):
        alone = new()
        for piece in pieces:
            alone.send(append(piece))
        each.collect(each.session.process_audio())  # less than is due
        assert each.received == alone.received
        assert [notice.audio_s for notice in each.notices] == [notice.audio_s for notice in alone.notices]
        assert len(alone.notices) >= 3
    assert max(notice.audio_s for each in together for notice in each.notices) == 3
