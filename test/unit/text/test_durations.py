"""Durations as people say them."""

import pytest

from src.text.durations import duration_in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, "0.1 seconds"),
        (0.3333333, "0.33 seconds"),
        (1, "1 second"),
        (5, "5 seconds"),
        (9.99, "10 seconds"),
        (12.34, "12 seconds"),
        (60, "1 minute"),
        (61, "1 minute and 1 second"),
        (90, "1 minute and 30 seconds"),
        (600, "10 minutes"),
        (3600, "60 minutes"),
        (5400, "90 minutes"),
        (7200, "2 hours"),
        (86_400, "24 hours"),
    ],
)
def test_durations_are_said_as_people_say_them(seconds, words):
    assert duration_in_words(seconds) == words
