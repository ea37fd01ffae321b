"""Windows lie within the spans of speech, and short spans that sound alike are heard together."""

import numpy as np
import pytest

from src.audio.samples import SAMPLE_RATE
from src.audio.vad import Span
from src.diarization import voice_windows
from src.diarization.voice_windows import FRAMES, NO_WINDOWS, joined, listen
from src.engine.voice_encoder import HOP

calls: list[int] = []


def features(samples):
    """The mean of each 10 ms, as 40 equal numbers."""
    return np.repeat(samples[: len(samples) // HOP * HOP].reshape(-1, HOP).mean(axis=1, keepdims=True), 40, axis=1)


def embed(windows):
    """The share of frames near 1 and near 0, as a vector of length 1."""
    assert windows.shape[1:] == (FRAMES, 40)
    calls.append(len(windows))
    share = (windows[:, :, 0] > 0.5).mean(axis=1)
    vectors = np.zeros((len(windows), 256), np.float32)
    vectors[:, 0], vectors[:, 1] = share, 1 - share
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def heard(samples, *spans: tuple[float, float]):
    calls.clear()
    return listen(samples, [Span(*span) for span in spans], features, embed)


def voice(*parts: tuple[float, float]) -> np.ndarray:
    """Audio of parts with a length in seconds and a value."""
    return np.concatenate([np.full(round(length * SAMPLE_RATE), value, np.float32) for length, value in parts])


def test_windows_of_a_second_and_a_half_lie_evenly_over_a_span():
    windows = heard(voice((6, 1)), (1.0, 4.0))
    assert windows.starts_s.tolist() == [1.0, 1.75, 2.5]
    assert windows.ends_s.tolist() == [2.5, 3.25, 4.0]
    assert windows.speech_s.tolist() == [1.5] * 3


def test_no_window_crosses_a_pause():
    windows = heard(voice((3, 1), (3, 0)), (0.5, 2.9), (3.1, 5.5))
    assert (windows.ends_s[:3] <= 2.9).all()
    assert (windows.starts_s[3:] >= 3.1).all()
    assert windows.embeddings[:, 0].tolist() == [1, 1, 1, 0, 0, 0]


def test_a_short_span_is_one_window():
    windows = heard(voice((2, 1)), (0.5, 0.9))
    assert (windows.starts_s.tolist(), windows.ends_s.tolist()) == ([0.5], [0.9])
    assert windows.speech_s.tolist() == pytest.approx([0.4])


def test_short_spans_that_sound_alike_are_heard_once_more_together():
    windows = heard(voice((4, 1)), (0.0, 0.5), (1.0, 1.5), (2.0, 2.5))
    assert windows.speech_s.tolist() == [0.5, 0.5, 0.5, 1.5]
    assert (windows.starts_s[3], windows.ends_s[3]) == (0.0, 2.5)


def test_short_spans_of_two_voices_or_far_apart_are_not_heard_together():
    assert len(heard(voice((1, 1), (1, 0)), (0.0, 0.5), (1.1, 1.6))) == 2
    assert len(heard(voice((4, 1)), (0.0, 0.5), (2.0, 2.5))) == 2
    assert len(heard(voice((9, 1)), (0.0, 0.5), (0.7, 2.2), (2.4, 2.9))) == 3  # a long one between them


def test_audio_without_speech_has_no_windows():
    assert len(heard(voice((2, 1)))) == 0
    assert len(heard(voice((2, 1)), (1.0, 1.05))) == 0
    assert len(heard(voice((2, 1)), (2.5, 2.9))) == 0  # beyond the end
    assert calls == []


def test_all_windows_of_much_speech_go_to_the_network_in_groups(monkeypatch):
    monkeypatch.setattr(voice_windows, "GROUP_S", 6.0)
    windows = heard(voice((20, 1)), (0.0, 4.0), (4.5, 6.5), (7.0, 20.0))
    assert calls == [5 + 2, 7, 7, 1]
    assert windows.ends_s.max() == 20.0


def test_the_rest_is_left_out_once_nobody_needs_it(monkeypatch):
    monkeypatch.setattr(voice_windows, "GROUP_S", 6.0)
    answers = [False, True]
    samples = voice((20, 1))
    windows = listen(samples, [Span(0.0, 5.0), Span(6.0, 20.0)], features, embed, lambda: answers.pop(0))
    assert windows.ends_s.max() == 5.0


def test_windows_are_joined_and_moved():
    windows = heard(voice((3, 1)), (0.0, 1.5))
    both = joined([NO_WINDOWS, windows, windows.later(10.0)])
    assert both.starts_s.tolist() == [0.0, 10.0]
    assert len(both.part(both.starts_s > 5)) == 1
