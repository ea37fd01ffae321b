"""The speech detector: probabilities that do not depend on how audio is cut, and spans of speech at any level."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from media import clip

from src.audio.silero import Silero
from src.audio.vad import FRAME_S, Span, SpeechDetector, run_detection, speech_spans


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


def test_the_network_is_loaded_once_even_if_many_threads_need_it_first(monkeypatch):
    read = []

    def counted() -> Silero:
        read.append(Silero())
        return read[-1]

    monkeypatch.setattr("src.audio.vad.Silero", counted)
    fresh = SpeechDetector()
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(fresh.probabilities, [np.zeros(16_000, np.float32)] * 8))
    assert len(read) == 1
    assert len({each.tobytes() for each in found}) == 1


@pytest.mark.parametrize("size", [100, 512, 1600, 70_000])
def test_audio_in_pieces_of_any_size_gives_the_probabilities_of_the_whole(detector, size):
    samples = clip("flite-slt-1")
    stream = detector.new_stream()
    parts = [stream.feed(samples[start : start + size]) for start in range(0, len(samples), size)]
    np.testing.assert_allclose(np.concatenate([*parts, stream.finish()]), detector.probabilities(samples), atol=1e-5)


def test_streams_do_not_disturb_each_other(detector):
    speech, noise = clip("piper-joe-1"), clip("noise-pink-4s")
    streams = detector.new_stream(), detector.new_stream()
    parts: list[list[np.ndarray]] = [[], []]
    for start in range(0, 32_000, 1600):
        for part, stream, samples in zip(parts, streams, (speech, noise), strict=True):
            part.append(stream.feed(samples[start : start + 1600]))
    assert np.concatenate(parts[0]).max() > 0.9
    assert np.concatenate(parts[1]).max() < 0.3


def test_threads_share_one_detector(detector):
    names = ["piper-joe-1", "noise-pink-4s", "flite-slt-1", "rhvoice-slt-1"]
    expected = {name: detector.probabilities(clip(name)) for name in names}
    found: dict[str, np.ndarray] = {}

    def detect(name: str) -> None:
        for _ in range(5):
            found[name] = detector.probabilities(clip(name))

    threads = [threading.Thread(target=detect, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_no_samples_have_no_probabilities_and_no_speech(detector):
    nothing = np.empty(0, np.float32)
    assert detector.probabilities(nothing).shape == (0,)
    assert run_detection(detector.spans(nothing)) == ()


def test_has_speech_stops_at_the_first_speech(detector, monkeypatch):
    processed, run = [], Silero.run

    def counted(network, blocks, states):
        processed.append(sum(map(len, blocks)))
        return run(network, blocks, states)

    monkeypatch.setattr(Silero, "run", counted)
    assert run_detection(detector.has_speech(clip("long-60s"), 0.15))
    assert sum(processed) * FRAME_S < 5
    processed.clear()
    assert not run_detection(detector.has_speech(clip("noise-pink-4s"), 0.15))
    assert sum(processed) * FRAME_S >= 4


@pytest.mark.parametrize("level", [1e9, 30, 1, 0.1, 0.01, 0.001])
def test_speech_is_found_however_loud_it_is(detector, level):
    speech = clip("piper-joe-1")
    spans, expected = run_detection(detector.spans(speech * np.float32(level))), run_detection(detector.spans(speech))
    assert spans[0].start_s == pytest.approx(expected[0].start_s, abs=0.1)
    assert spans[-1].end_s == pytest.approx(expected[-1].end_s, abs=0.1)


DAMAGE = {
    "one sample": np.array([1.0]),
    "one sample beyond all measure": np.array([1000.0]),
    "a click": np.array([1.0, -1.0, 1.0, -0.5]),
    "a frame of MP3 with one bit flipped": 9e5 * np.random.default_rng(0).normal(size=1152),
}


@pytest.mark.parametrize("level", [1, 0.003])
@pytest.mark.parametrize("at_s", [0.1, 1.5])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damage_and_clicks_do_not_hide_speech(detector, damage, at_s, level):
    speech = np.concatenate([np.zeros(8000), clip("piper-joe-1")]) * level
    expected = run_detection(detector.spans(speech.astype(np.float32)))
    at = round(at_s * 16_000)
    speech[at : at + len(damage)] += damage
    spans = run_detection(detector.spans(speech.astype(np.float32)))
    assert spans[0].start_s == pytest.approx(expected[0].start_s, abs=0.2)
    assert spans[-1].end_s == pytest.approx(expected[-1].end_s, abs=0.1)


def noise(seconds: float, level: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, level, round(seconds * 16_000)).astype(np.float32)


@pytest.mark.parametrize("gap_s", [0.2, 1, 5])
@pytest.mark.parametrize("loud", [noise(0.5, 0.3), noise(30, 0.3), noise(0.5, 9e5), clip("rhvoice-slt-1")])
def test_speech_55_db_below_what_came_before_is_found_whole(detector, loud, gap_s):
    quiet = clip("piper-joe-1") * np.float32(10 ** (-55 / 20))
    start_s = len(loud) / 16_000 + gap_s
    spans = run_detection(detector.spans(np.concatenate([loud, np.zeros(round(gap_s * 16_000), np.float32), quiet])))
    itself = run_detection(detector.spans(quiet))
    assert any(span.start_s - start_s == pytest.approx(itself[0].start_s, abs=0.2) for span in spans)
    assert spans[-1].end_s - start_s == pytest.approx(itself[-1].end_s, abs=0.2)


@pytest.mark.parametrize("name", ["noise-white-3s", "noise-pink-4s", "noise-hum-2s", "silence-2s"])
@pytest.mark.parametrize("level", [0.003, 0.0003])
def test_noise_after_loud_speech_is_no_speech(detector, name, level):
    loud = clip("piper-joe-1")
    spans = run_detection(detector.spans(np.concatenate([loud, np.resize(clip(name) * np.float32(level), 160_000)])))
    assert spans[-1].end_s < len(loud) / 16_000 + 0.2


def test_a_clip_in_silence_is_found_where_it_is(detector):
    speech = clip("rhvoice-slt-1")
    itself = run_detection(detector.spans(speech))
    silence = np.zeros(48_000, np.float32)
    within = run_detection(detector.spans(np.concatenate([silence, speech, silence])))
    assert within[0].start_s == pytest.approx(3 + itself[0].start_s, abs=0.1)
    assert within[-1].end_s == pytest.approx(3 + itself[-1].end_s, abs=0.1)


def frames(*runs: tuple[float, int]) -> np.ndarray:
    """Probabilities: each value for so many frames."""
    return np.concatenate([np.full(count, value, np.float32) for value, count in runs])


def seconds(*spans: tuple[int, int]) -> tuple[Span, ...]:
    return tuple(Span(start * FRAME_S, end * FRAME_S) for start, end in spans)


def test_speech_begins_above_one_threshold_and_ends_below_a_lower_one():
    assert speech_spans(frames((0.4, 10), (0.6, 5), (0.4, 5), (0.1, 10))) == seconds((10, 20))


def test_a_pause_shorter_than_a_tenth_of_a_second_is_none():
    assert speech_spans(frames((0.9, 5), (0.1, 3), (0.9, 5))) == seconds((0, 13))
    assert speech_spans(frames((0.9, 5), (0.1, 4), (0.9, 5))) == seconds((0, 5), (9, 14))


def test_short_speech_is_left_out_if_asked():
    probabilities = frames((0.9, 2), (0, 10), (0.9, 10))
    assert speech_spans(probabilities) == seconds((0, 2), (12, 22))
    assert speech_spans(probabilities, min_speech_s=0.1) == seconds((12, 22))


def test_no_frames_have_no_spans():
    assert speech_spans(np.empty(0, np.float32)) == ()
