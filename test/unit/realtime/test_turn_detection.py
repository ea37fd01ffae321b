"""Turn detection: exact edges for scripted probabilities, and the turns that the real detector finds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media import SAMPLE_RATE, as_pcm16, clip
from numpy.typing import NDArray

from src.audio.vad import SpeechDetector, run_detection
from src.realtime.turn_detection import (
    IdleTimeout,
    TurnDetection,
    TurnDetector,
    TurnEvent,
    TurnStarted,
    TurnStopped,
)

FRAME = 512
PADDING = 4800  # 300 ms
PAUSE = 8000  # 500 ms
DEFAULTS = TurnDetection()
IDLE = TurnDetection(idle_timeout_ms=1000)

Run = tuple[float, int]
"""A probability and the number of frames that have it."""


class Script:
    """A stream with given probabilities, and 0 after them."""

    def __init__(self, *runs: Run) -> None:
        self._left = [probability for probability, count in runs for _ in range(count)]

    def feed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        frames, rest = divmod(len(samples), FRAME)
        assert rest == 0
        now, self._left = self._left[:frames], self._left[frames:]
        return np.pad(np.array(now, np.float32), (0, frames - len(now)))


def frames(count: int) -> NDArray[np.float32]:
    """Return audio of `count` frames."""
    return np.zeros(count * FRAME, np.float32)


def detected(*runs: Run, detection: TurnDetection = DEFAULTS, start: int = 0) -> list[TurnEvent]:
    """Return the events in audio with these probabilities."""
    return TurnDetector(detection, Script(*runs), start).feed(frames(sum(count for _, count in runs)))


def in_pieces(detector: TurnDetector, samples: NDArray[np.float32], size: int) -> list[TurnEvent]:
    return [event for at in range(0, len(samples), size) for event in detector.feed(samples[at : at + size])]


# A turn


def test_a_turn_begins_with_the_padding_before_its_speech_and_ends_with_the_pause_after_it():
    started, stopped = detected((0, 20), (0.9, 10), (0, 20))
    assert started == TurnStarted(20 * FRAME - PADDING)
    assert stopped == TurnStopped(30 * FRAME + PAUSE)


def test_times_are_on_the_clock_of_the_session():
    assert detected((0, 20), (0.9, 10), (0, 20), start=7777) == [
        TurnStarted(7777 + 20 * FRAME - PADDING),
        TurnStopped(7777 + 30 * FRAME + PAUSE),
    ]


def test_padding_and_pause_are_as_long_as_asked():
    detection = TurnDetection(prefix_padding_ms=0, silence_duration_ms=100)
    assert detected((0, 20), (0.9, 10), (0, 4), detection=detection) == [
        TurnStarted(20 * FRAME),
        TurnStopped(30 * FRAME + 1600),
    ]
    none = TurnDetection(prefix_padding_ms=0, silence_duration_ms=0)
    assert detected((0.9, 10), (0, 1), detection=none) == [TurnStarted(0), TurnStopped(10 * FRAME)]


def test_padding_does_not_reach_back_behind_the_beginning():
    assert detected((0, 3), (0.9, 10), start=1000) == [TurnStarted(1000)]


def test_padding_does_not_reach_back_into_the_turn_before():
    _, stopped, started = detected((0.9, 10), (0, 17), (0.9, 10))
    assert started.at == stopped.at == 10 * FRAME + PAUSE


def test_a_turn_is_over_as_soon_as_the_pause_is_long_enough():
    detector = TurnDetector(TurnDetection(), Script((0.9, 10)))
    detector.feed(frames(25))
    assert detector.feed(np.zeros(FRAME - 1, np.float32)) == []
    assert detector.feed(np.zeros(1, np.float32)) == [TurnStopped(10 * FRAME + PAUSE)]


def test_a_shorter_pause_is_part_of_the_turn():
    assert detected((0.9, 5), (0, 15), (0.9, 5), (0, 16)) == [TurnStarted(0), TurnStopped(25 * FRAME + PAUSE)]


def test_a_turn_needs_two_frames_of_speech_in_a_row():
    assert detected((0, 20), (0.99, 1), (0, 1), (0.99, 1), (0, 20)) == []
    assert detected((0, 20), (0.99, 1), (0, 1), (0.99, 2)) == [TurnStarted(22 * FRAME - PADDING)]


def test_a_turn_is_reported_while_it_goes_on():
    detector = TurnDetector(TurnDetection(), Script((0, 20), (0.9, 100)))
    assert detector.feed(frames(21)) == []
    assert detector.feed(frames(1)) == [TurnStarted(20 * FRAME - PADDING)]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.9])
def test_speech_begins_at_the_threshold_and_goes_on_down_to_015_below_it(threshold):
    detection = TurnDetection(threshold=threshold)
    above, below = threshold + 0.01, threshold - 0.01
    assert detected((below, 30), detection=detection) == []
    assert detected((above, 2), (threshold - 0.14, 30), detection=detection) == [TurnStarted(0)]
    assert detected((above, 2), (threshold - 0.16, 30), detection=detection)[1] == TurnStopped(2 * FRAME + PAUSE)


def test_a_turn_can_end_also_where_the_threshold_is_next_to_nothing():
    detection = TurnDetection(threshold=0.05)
    assert detected((0.06, 2), (0.02, 30), detection=detection) == [TurnStarted(0)]
    assert detected((0.06, 2), (0.005, 30), detection=detection)[1] == TurnStopped(2 * FRAME + PAUSE)


# Nobody speaks


def test_every_stretch_without_speech_times_out_once():
    assert detected((0, 94), detection=IDLE, start=500) == [
        IdleTimeout(500, 16_500),
        IdleTimeout(16_500, 32_500),
        IdleTimeout(32_500, 48_500),
    ]


def test_without_an_idle_timeout_silence_is_nothing():
    assert detected((0, 10_000)) == []


def test_the_idle_time_counts_from_the_end_of_the_last_turn():
    quiet_from = 10 * FRAME + PAUSE
    assert detected((0.9, 10), (0, 60), detection=IDLE)[1:] == [
        TurnStopped(quiet_from),
        IdleTimeout(quiet_from, quiet_from + 16_000),
    ]


def test_a_turn_does_not_time_out_however_long_it_is():
    assert detected((0.9, 1000), detection=IDLE) == [TurnStarted(0)]


def test_speech_that_is_just_beginning_is_not_cut_by_a_timeout():
    assert detected((0, 31), (0.9, 5), detection=IDLE) == [TurnStarted(31 * FRAME - PADDING)]
    assert detected((0, 31), (0.9, 1), (0, 1), detection=IDLE) == [IdleTimeout(0, 16_000)]


def test_padding_does_not_reach_back_behind_a_timeout():
    assert detected((0, 32), (0.9, 5), detection=IDLE) == [IdleTimeout(0, 16_000), TurnStarted(16_000)]


# What the caller decides


def test_a_manual_commit_closes_the_open_turn_without_an_event():
    detector = TurnDetector(TurnDetection(), Script((0.9, 10)))
    detector.feed(frames(10))
    assert detector.turn_start == 0
    detector.mark_committed(10 * FRAME)
    assert detector.turn_start is None
    assert detector.feed(frames(40)) == []


def test_speech_that_goes_on_after_a_manual_commit_is_a_turn_from_there():
    detector = TurnDetector(TurnDetection(), Script((0.9, 20)))
    until = 10 * FRAME + 100
    detector.feed(np.zeros(until, np.float32))
    detector.mark_committed(until)
    assert detector.feed(frames(40)) == [TurnStarted(until), TurnStopped(20 * FRAME + PAUSE)]


def test_the_idle_time_counts_from_a_manual_commit():
    detector = TurnDetector(IDLE, Script())
    detector.feed(frames(10))
    detector.mark_committed(10 * FRAME)
    assert detector.feed(frames(40)) == [IdleTimeout(10 * FRAME, 10 * FRAME + 16_000)]


def test_the_start_of_the_open_turn_is_known():
    detector = TurnDetector(TurnDetection(), Script((0, 20), (0.9, 10)))
    began = []
    for _ in range(6):
        detector.feed(frames(10))
        began.append(detector.turn_start)
    assert began == [None, None, *[20 * FRAME - PADDING] * 2, None, None]


def test_after_a_reset_nothing_is_remembered_but_the_clock_goes_on():
    script = [(0.9, 3), (0, 40)]
    detector = TurnDetector(IDLE, Script((0.9, 10)))
    detector.feed(np.zeros(10 * FRAME + 100, np.float32))
    detector.reset(Script(*script), 9999)
    assert detector.turn_start is None
    assert detector.feed(frames(43)) == detected(*script, detection=IDLE, start=9999)


def test_another_detection_holds_from_the_next_audio_on_and_keeps_the_open_turn():
    detector = TurnDetector(TurnDetection(), Script((0.9, 10)))
    detector.feed(frames(20))
    detector.detection = replace(detector.detection, silence_duration_ms=1000)
    assert detector.feed(frames(21)) == []
    assert detector.feed(frames(1)) == [TurnStopped(10 * FRAME + 16_000)]


RUNS = st.lists(st.tuples(st.sampled_from([0, 0.2, 0.4, 0.6, 0.9]), st.integers(1, 40)), max_size=12)
DETECTIONS = st.builds(
    TurnDetection,
    st.sampled_from([0, 0.3, 0.5, 1]),
    st.integers(0, 1000),
    st.integers(0, 1000),
    st.none() | st.integers(1, 1000),
)


@given(RUNS, DETECTIONS, st.integers(0, 10**9), st.lists(st.integers(0, 5000), max_size=30))
@settings(max_examples=100)
def test_events_are_the_same_for_any_cuts_and_in_order(runs, detection, start, sizes):
    whole = detected(*runs, detection=detection, start=start)
    detector = TurnDetector(detection, Script(*runs), start)
    samples = frames(sum(count for _, count in runs))
    got = []
    for piece in np.split(samples, np.cumsum(sizes)):
        keep_from = detector.keep_from
        got += (events := detector.feed(piece))
        assert all(at >= keep_from for event in events for at in edges(event))
    assert got == whole
    times = [at for event in whole for at in edges(event)]
    assert times == sorted(times)
    assert all(start <= at <= start + len(samples) for at in times)
    turns = [type(event) for event in whole if not isinstance(event, IdleTimeout)]
    assert turns == ([TurnStarted, TurnStopped] * len(turns))[: len(turns)]


def edges(event: TurnEvent) -> list[int]:
    return [event.start, event.end] if isinstance(event, IdleTimeout) else [event.at]


# The real detector


@pytest.fixture(scope="module")
def speech_detector() -> SpeechDetector:
    return SpeechDetector()


@pytest.fixture
def listening(speech_detector):
    """Return a new turn detector."""

    def new(**detection) -> TurnDetector:
        return TurnDetector(TurnDetection(**detection), speech_detector.new_stream())

    return new


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(int(seconds * SAMPLE_RATE), np.float32)


@pytest.mark.parametrize("level", [1, 0.1, 0.01])
def test_a_turn_lies_about_its_speech_however_quiet_it_is(listening, speech_detector, level):
    speech = clip("piper-joe-1")
    spans = run_detection(speech_detector.spans(speech))
    started, stopped = listening().feed(as_pcm16(silence(2), speech * level, silence(1)))
    assert started.at / SAMPLE_RATE == pytest.approx(2 + spans[0].start_s - 0.3, abs=0.1)
    assert stopped.at / SAMPLE_RATE == pytest.approx(2 + spans[-1].end_s + 0.5, abs=0.1)


@pytest.mark.parametrize("level", [0.1, 0.03, 0.01])
def test_a_quiet_speaker_is_detected_a_second_after_a_loud_one(listening, speech_detector, level):
    loud, quiet = clip("piper-joe-1"), clip("rhvoice-slt-1")
    onset_s = len(loud) / SAMPLE_RATE + 1 + run_detection(speech_detector.spans(quiet))[0].start_s
    events = listening().feed(as_pcm16(loud, silence(1), quiet * level, silence(1)))
    assert len(events) >= 4
    assert events[2].at / SAMPLE_RATE == pytest.approx(onset_s - 0.3, abs=0.2)


CLICKS = {"one sample": np.ones(1), "a click": np.array([1, -1, 1, -0.5]), "a clap": np.geomspace(0.9, 0.01, 800)}


@pytest.mark.parametrize("click", CLICKS.values(), ids=CLICKS)
@pytest.mark.parametrize("level", [0.1, 0.01, 0.003])
def test_speech_just_after_a_click_is_a_turn_as_without_it(listening, click, level):
    quiet = clip("rhvoice-slt-1") * level
    without = listening().feed(as_pcm16(silence(2), quiet, silence(1)))
    before = silence(2)
    before[24_000 : 24_000 + len(click)] = click * np.random.default_rng(0).choice([-1, 1], len(click))
    events = listening().feed(as_pcm16(before, quiet, silence(1)))
    assert [type(event) for event in events] == [type(event) for event in without] == [TurnStarted, TurnStopped]
    assert [event.at for event in events] == pytest.approx([event.at for event in without], abs=0.3 * SAMPLE_RATE)


@pytest.mark.parametrize("level", [0.5, 0.05, 0.005])
@pytest.mark.parametrize("length", [1, 20, 800])
def test_clicks_in_a_hiss_are_no_speech(listening, level, length):
    rng = np.random.default_rng(length)
    samples = rng.normal(0, 1e-4, 20 * SAMPLE_RATE)
    for at in range(3000, len(samples) - 1000, SAMPLE_RATE // 3):
        samples[at : at + length] += level * rng.uniform(-1, 1, length) * np.exp(-np.arange(length) / 100)
    assert listening().feed(as_pcm16(samples)) == []


@pytest.mark.parametrize("level", [1, 0.05, 0.002])
@pytest.mark.parametrize("name", ["noise-white-3s", "noise-pink-4s", "noise-hum-2s", "silence-2s"])
def test_noise_of_any_level_is_no_speech_but_times_out(listening, name, level):
    samples = as_pcm16(np.resize(clip(name), 12 * SAMPLE_RATE) * level)
    events = listening(idle_timeout_ms=5000).feed(samples)
    assert events == [IdleTimeout(0, 5 * SAMPLE_RATE), IdleTimeout(5 * SAMPLE_RATE, 10 * SAMPLE_RATE)]


@pytest.mark.parametrize("size", [16, 320, 333, 16_000])
def test_speech_in_pieces_of_any_length_has_the_turns_of_the_whole(listening, size):
    samples = as_pcm16(clip("fsdd-jackson-1"), silence(1), clip("asterisk-allison-1"), silence(1))
    whole = listening().feed(samples)
    assert len(whole) >= 4
    assert in_pieces(listening(), samples, size) == whole


def test_speech_that_goes_on_after_a_commit_is_in_the_next_turn(listening):
    speech = clip("piper-joe-1")
    middle = len(speech) // 2
    detector = listening()
    assert [type(event) for event in detector.feed(speech[:middle])] == [TurnStarted]
    detector.mark_committed(middle)
    started, stopped = detector.feed(np.concatenate([speech[middle:], silence(1)]))
    assert middle <= started.at <= middle + 0.2 * SAMPLE_RATE
    assert stopped.at > len(speech)
