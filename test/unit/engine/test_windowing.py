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


def decoded_windows(windowing: Windowing, step_s: float | None) -> set[int]:
    """The lengths in frames of the windows that a stream of a few minutes is decoded by."""
    live, found = LiveTranscript(windowing, catch_up_s=10), set()
    for frames in range(2000):
        window = live.next_window(frames * SAMPLES_PER_FRAME, step_s=step_s)
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
@pytest.mark.parametrize("chunks", [None, 0.25, 1, 2])
def test_a_stream_is_decoded_by_windows_of_these_lengths(windowing, chunks):
    step_s = chunks and max(0.08, chunks * windowing.chunk_s)
    assert decoded_windows(windowing, step_s) <= set(windowing.window_frames)
    assert list(windowing.window_frames) == sorted(set(windowing.window_frames))


def test_the_longest_window_is_that_of_a_step_under_load():
    windowing = Windowing.from_settings(Settings())
    longest = windowing.left_frames + 2 * windowing.chunk_frames + windowing.right_frames
    assert max(windowing.window_frames) == max(decoded_windows(windowing, 2 * windowing.chunk_s)) == longest
