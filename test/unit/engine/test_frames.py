"""The clock of the encoder: features and frames."""

import pytest

from src.engine.frames import FRAME_SECONDS, SAMPLES_PER_FRAME, frames_in, nearest_frames


def test_a_frame_is_eighty_milliseconds():
    assert FRAME_SECONDS == 0.08
    assert SAMPLES_PER_FRAME == 1280


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (159, 0), (160, 1), (1280, 1), (1439, 1), (1440, 2), (16_000, 13)]
)
def test_the_encoder_makes_a_frame_of_eight_features_and_of_the_rest_of_them(samples, frames):
    assert frames_in(samples) == frames


@pytest.mark.parametrize(("seconds", "frames"), [(0, 0), (0.03, 0), (0.05, 1), (0.96, 12), (1.0, 12), (1.05, 13)])
def test_a_duration_is_rounded_to_the_nearest_frame(seconds, frames):
    assert nearest_frames(seconds) == frames
