"""Audio on its way to items: the clock, what is kept, and that cutting makes no difference."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import clip, pcm16, resampled
from session_harness import Loudness, silence, speech

from src.audio.pcm_stream import AudioFormat, Encoding
from src.audio.vad import SpeechDetector
from src.realtime.audio_input import SILENCE_KEPT_S, SLICE_S, AudioInput
from src.realtime.turn_detection import IdleTimeout, TurnDetection, TurnEvent, TurnStarted, TurnStopped

RATE = 16_000
PCM = AudioFormat(Encoding.PCM16, RATE)
DEFAULTS = TurnDetection()


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def new_input(format=PCM, detection=DEFAULTS, new_stream=Loudness, max_s=600.0) -> AudioInput:
    audio = AudioInput(format, new_stream, round(max_s * RATE))
    assert list(audio.set_detection(detection)) == []
    return audio


def handled(audio: AudioInput, events: Iterator[TurnEvent], items: list[np.ndarray]) -> list[TurnEvent]:
    """Handle turn events as a session does, and collect the items that they make."""
    found = []
    for event in events:
        found.append(event)
        match event:
            case TurnStarted(at):
                audio.buffer.drop_until(at)
            case TurnStopped(at):
                items.append(audio.buffer.take_until(at))
            case IdleTimeout(start, end):
                audio.buffer.drop_until(start)
                items.append(audio.buffer.take_until(end))
    return found


def fed(audio: AudioInput, wire: bytes, size: int) -> tuple[list[TurnEvent], list[np.ndarray]]:
    """Return the turn events in bytes that arrive `size` at a time, and the items; the last item is the rest."""
    found: list[TurnEvent] = []
    items: list[np.ndarray] = []
    for start in range(0, len(wire), size):
        audio.append(wire[start : start + size])
        found += handled(audio, audio.drain(), items)
    found += handled(audio, audio.flush(), items)
    items.append(audio.buffer.take_until(audio.buffer.end))
    return found, items


SPOKEN = np.concatenate([silence(1.0), clip("rhvoice-slt-1"), silence(1.5), clip("piper-joe-1"), silence(12.0)])
ONE_TURN = np.concatenate([silence(0.5), clip("fsdd-jackson-1"), silence(0.7)])


@pytest.mark.parametrize("rate", [16_000, 24_000])
@pytest.mark.parametrize(
    ("samples", "seconds", "turns"), [(ONE_TURN, 0.001, 1), (SPOKEN, 0.01, 2), (SPOKEN, 0.1, 2), (SPOKEN, 1.0, 2)]
)
def test_how_the_bytes_are_cut_makes_no_difference(detector, rate, samples, seconds, turns):
    format = AudioFormat(Encoding.PCM16, rate)
    wire = pcm16(resampled(samples, rate) if rate != RATE else samples)
    expected, items = fed(new_input(format, new_stream=detector.new_stream), wire, len(wire))
    assert len(expected) >= 2 * turns
    found, pieces = fed(new_input(format, new_stream=detector.new_stream), wire, round(seconds * rate) * 2 + 1)
    assert found == expected
    assert all(np.array_equal(one, other) for one, other in zip(pieces, items, strict=True))


PARTS = st.lists(st.tuples(st.booleans(), st.floats(0.01, 1.6)), min_size=1, max_size=6)


@given(PARTS, st.sampled_from([1, 33, 640, 3_200, 9_999, 32_000]), st.sampled_from([None, 1_000, 2_500]))
@settings(max_examples=60)
def test_any_cut_of_any_audio_makes_no_difference(parts, size, idle_timeout_ms):
    wire = pcm16(np.concatenate([speech(seconds) if loud else silence(seconds) for loud, seconds in parts]))
    detection = TurnDetection(idle_timeout_ms=idle_timeout_ms, silence_duration_ms=200)
    found, items = fed(new_input(detection=detection, max_s=3), wire, len(wire))
    events, pieces = fed(new_input(detection=detection, max_s=3), wire, max(size, len(wire) // 300))
    assert events == found
    assert [len(piece) for piece in pieces] == [len(item) for item in items]


def test_the_clock_counts_everything_that_was_ever_received():
    audio = new_input(detection=None)
    fed(audio, pcm16(speech(2.0)), 999)
    assert audio.buffer.end == 2 * RATE
    audio.append(pcm16(speech(1.5)))
    list(audio.drain())
    audio.clear()
    assert (audio.buffer.start, audio.buffer.end) == (56_000, 56_000)


def test_the_clock_is_that_of_16_khz_whatever_comes():
    audio = new_input(AudioFormat(Encoding.MULAW, 8_000), detection=None)
    audio.append(bytes(8_000))
    list(audio.flush())
    assert audio.buffer.end == RATE
    list(audio.drain_before(AudioFormat(Encoding.PCM16, 48_000)))
    list(audio.configure(AudioFormat(Encoding.PCM16, 48_000), None))
    audio.append(bytes(96_000))
    list(audio.flush())
    assert audio.buffer.end == 2 * RATE


def test_the_first_second_waits_for_a_format_to_be_named():
    audio = new_input(AudioFormat(Encoding.PCM16, 24_000), detection=None)
    audio.append(pcm16(speech(0.6)))
    assert list(audio.drain()) == []
    assert len(audio.buffer) == 0
    assert audio.held_s == audio.undecoded_s == pytest.approx(0.4)
    list(audio.drain_before(PCM))
    list(audio.configure(PCM, None))
    assert np.allclose(audio.buffer.copy(0, audio.buffer.end), speech(0.6))


def test_a_second_of_audio_locks_the_format():
    audio = new_input(detection=None)
    audio.append(pcm16(speech(1.0)))
    list(audio.drain())
    assert len(audio.buffer) == RATE


def test_a_turn_without_end_is_cut_at_the_same_sample_however_it_came():
    wire = pcm16(np.concatenate([silence(1.0), speech(15.0), silence(1.0)]))
    expected, items = fed(new_input(max_s=5), wire, len(wire))
    assert [len(item) / RATE for item in items[:2]] == [5, 5]
    starts = [event.at for event in expected if isinstance(event, TurnStarted)]
    stops = [event.at for event in expected if isinstance(event, TurnStopped)]
    assert starts[1:] == stops[:-1], "nothing is lost in between"
    for size in (99, 3_200, 100_001):
        found, pieces = fed(new_input(max_s=5), wire, size)
        assert found == expected
        assert [len(piece) for piece in pieces] == [len(item) for item in items]


def test_of_silence_the_last_seconds_are_kept():
    audio = new_input()
    audio.append(pcm16(silence(30.0)))
    assert list(audio.drain()) == []
    assert audio.committable == SILENCE_KEPT_S * RATE


def test_silence_after_a_turn_is_not_for_a_commit():
    audio = new_input()
    items: list[np.ndarray] = []
    audio.append(pcm16(np.concatenate([silence(1.0), speech(1.0), silence(3.0)])))
    assert len(handled(audio, audio.drain(), items)) == 2
    assert audio.committable == 0
    assert audio.held_s < 0.4, "it is forgotten, but for the padding of the next turn"
    audio.append(pcm16(speech(0.2)))
    handled(audio, audio.drain(), items)
    assert audio.committable > 0


@pytest.mark.parametrize("how", ["mark_committed", "clear"])
def test_silence_after_a_commit_or_a_clear_is_for_a_commit(how):
    audio = new_input()
    items: list[np.ndarray] = []
    audio.append(pcm16(np.concatenate([silence(1.0), speech(1.0), silence(3.0)])))
    handled(audio, audio.drain(), items)
    audio.buffer.take_until(audio.buffer.end)
    getattr(audio, how)()
    audio.append(pcm16(silence(0.5)))
    list(audio.drain())
    assert audio.committable == RATE // 2


@pytest.mark.parametrize("idle_timeout_ms", [None, 30_000])
def test_silence_never_takes_more_than_a_turn_may(idle_timeout_ms):
    audio = new_input(detection=TurnDetection(idle_timeout_ms=idle_timeout_ms), max_s=5)
    most_s = 0.0
    for _ in range(100):
        audio.append(pcm16(silence(0.2)))
        assert list(audio.drain()) == []
        most_s = max(most_s, audio.held_s)
    assert most_s <= 5 + SLICE_S


def test_room_is_made_before_speech_and_not_while_a_slice_is_processed():
    """The search takes long, and in a round all other sessions would wait for it."""
    searches: list[Loudness] = []

    def new_stream() -> Loudness:
        searches.append(Loudness())
        return searches[-1]

    audio = new_input(detection=None, new_stream=new_stream, max_s=10)
    audio.append(pcm16(np.concatenate([silence(6.0), speech(3.0)])))
    while audio.undecoded_s:
        assert not audio.needs_room
        audio.decode()
        assert list(audio.detect(None)) == []
    assert audio.needs_room
    assert searches == []
    audio.make_room()
    assert audio.held_s == pytest.approx(4.0, abs=0.1)
    audio.append(pcm16(speech(5.5)))
    list(audio.drain())
    assert audio.held_s == pytest.approx(9.5, abs=0.1), "it begins with speech"
    assert not audio.needs_room


def test_with_detection_off_all_audio_is_one_item():
    audio = new_input(detection=None)
    audio.append(pcm16(np.concatenate([silence(20.0), speech(1.0), silence(20.0)])))
    assert list(audio.drain()) == []
    assert not audio.detects_turns
    assert audio.committable == 41 * RATE


@pytest.mark.parametrize("loud", [np.array([1.0, -1.0]), np.random.default_rng(0).normal(0, 0.3, 8000)])
def test_quiet_speech_after_something_loud_is_not_forgotten(detector, loud):
    audio = new_input(detection=None, new_stream=detector.new_stream, max_s=40)
    quiet = clip("piper-joe-1") * 10 ** (-52 / 20)
    before = np.concatenate([silence(10.0), loud, silence(0.3)])
    audio.append(pcm16(np.concatenate([before, quiet, silence(24.0)])))
    assert list(audio.drain()) == []
    assert 0 < audio.buffer.start < len(before) + 8000, "the silence before it is forgotten"
    assert audio.buffer.end - audio.buffer.start > len(quiet) + 24 * RATE - 8000
