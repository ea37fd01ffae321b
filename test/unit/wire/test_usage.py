"""The usage of a transcription."""

import pytest

from src.wire.usage import duration_usage


@pytest.mark.parametrize(("duration_s", "seconds"), [(0.0, 0), (0.2, 1), (3.0, 3), (3.0000001, 3), (3.1, 4)])
def test_seconds_are_rounded_up_but_not_for_an_error_of_the_last_digit(duration_s, seconds):
    assert duration_usage(duration_s).model_dump() == {"type": "duration", "seconds": seconds}
