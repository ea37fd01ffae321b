"""The windows that the encoder sees of live text."""

import pytest

from src.engine.frames import SAMPLES_PER_FRAME
from src.engine.model import StepResult
from src.engine.windowing import FIRST_EXTRA_S, Windowing
from src.realtime.live import LiveTranscript
from src.settings import Settings


def test_lengths_are_rounded_to_the_nearest_frame():
    windowing = Windowing(left_s=0.99, chunk_s=1.05, right_s=0.2)
    assert (windowing.left_frames, windowing.chunk_frames, windowing.right_frames) == (12, 13, 2)


def test_a_chunk_has_at_least_one_frame_and_the_first_is_longer():
    windowing = Windowing(left_s=0, chunk_s=0.01, right_s=0)
    assert windowing.chunk_frames == 1
    assert windowing.first_frames == 1 + round(FIRST_EXTRA_S / 0.08)


def test_the_settings_give_the_windowing():
    settings = Settings(realtime_left_s=3.2, realtime_chunk_s=0.48, realtime_right_s=0.64)
    assert Windowing.from_settings(settings) == Windowing(3.2, 0.48, 0.64)


def test_the_default_settings_have_six_window_lengths():
    assert len(Windowing.from_settings(Settings()).window_frames) == 6


def decoded_windows(windowing: Windowing) -> set[int]:
    """The lengths in frames of the windows that a stream of a few minutes is decoded by."""
    live, found = LiveTranscript(windowing), set()
    for frames in range(2000):
        window = live.next_window(frames * SAMPLES_PER_FRAME)
        if window is not None:
            live.begin_step(window, None)
            live.finish_step(StepResult((), None))
            found.add((window.stop - window.start) // SAMPLES_PER_FRAME)
    return found


@pytest.mark.parametrize(
    "windowing",
    [Windowing(4.8, 0.96, 0.96), Windowing(0, 0.96, 0.96), Windowing(0.08, 0.08, 0), Windowing(3, 0.08, 0.2)],
    ids=str,
)
def test_the_window_lengths_are_those_that_a_stream_is_decoded_by(windowing):
    assert set(windowing.window_frames) == decoded_windows(windowing)
    assert list(windowing.window_frames) == sorted(set(windowing.window_frames))
