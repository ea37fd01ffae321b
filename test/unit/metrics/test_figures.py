"""Numbers and times as people read them."""

import pytest

from src.metrics import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0.000"), (0.12, "0.120"), (12.345, "12.35"), (1234.5, "1234"), (99999, "99999")],
)
def test_seconds_have_at_most_five_characters_while_they_can(value, text):
    assert figures.seconds(value) == text


def test_a_long_name_is_shortened():
    assert figures.shortened("429 queue_full") == "429 queue_full"
    assert figures.shortened("x" * 10_000) == "x" * 39 + "\u2026"


def test_a_share_is_rounded_down_so_that_all_means_all():
    assert figures.share(1, 1) == "100.00%"
    assert figures.share(99_999, 100_000) == "99.99%"
    assert figures.share(0, 0) == "-"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5 s"),
        (90, "1.5 min"),
        (900, "15 min"),
        (3600, "1 h"),
        (86400, "1 day"),
        (216000, "2.5 days"),
        (0.2, "0.2 s"),
    ],
)
def test_a_length_of_time_is_in_words(value, text):
    assert figures.length(value) == text


def test_times_are_in_utc_and_have_seconds_only_where_they_matter():
    assert figures.moment(1_795_000_000) == "Wed 18 Nov 2026, 11:06:40 UTC"
    assert figures.moment(1_795_000_020) == "Wed 18 Nov 2026, 11:07 UTC"
    assert (figures.clock(1_795_000_019.6), figures.day(1_795_000_000)) == ("11:07", "18 Nov")
