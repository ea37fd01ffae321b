"""The values between the service and the engine."""

import numpy as np
import pytest

from src.engine.model import StreamStep


@pytest.mark.parametrize(
    ("samples", "skip_frames", "start_frame", "end_s"),
    [(32_000, 0, 0, 2.0), (32_000, 10, 10, 2.0), (32_000, 10, 35, 4.0), (20_001, 0, 5, 0.4 + 20_001 / 16_000)],
)
def test_a_window_ends_where_its_samples_do_in_the_time_of_the_utterance(samples, skip_frames, start_frame, end_s):
    step = StreamStep(np.zeros(samples, np.float32), skip_frames, 12, start_frame)
    assert step.end_s == pytest.approx(end_s)


def test_an_utterance_begins_without_state_and_keywords():
    step = StreamStep(np.zeros(16_000, np.float32), 0, 12, 0)
    assert (step.decoder_state, step.keywords) == (None, ())
