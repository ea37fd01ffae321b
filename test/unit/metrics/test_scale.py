"""Scales: what they hold, and where their ticks are."""

import pytest

from src.metrics.scale import linear_scale, log_scale, time_ticks


def labels(scale) -> list[str]:
    return [tick.label for tick in scale.ticks]


@pytest.mark.parametrize(
    ("top", "whole", "expected"),
    [
        (0, True, ["0", "1"]),
        (1, True, ["0", "1"]),
        (3, True, ["0", "1", "2", "3"]),
        (7, True, ["0", "2", "4", "6", "8"]),
        (1234, True, ["0", "500", "1,000", "1,500"]),
        (0.07, False, ["0", "0.02", "0.04", "0.06", "0.08"]),
    ],
)
def test_a_linear_scale_has_round_ticks_up_to_what_it_must_hold(top, whole, expected):
    scale = linear_scale(top, whole=whole)
    assert labels(scale) == expected
    assert scale.high >= top
    assert [scale.ticks[0].place, scale.ticks[-1].place] == [0, 1]


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (0.02, 0.9, ["10 ms", "100 ms", "1 s"]),
        (0.0, 0.0, ["1 ms", "2 ms", "5 ms", "10 ms"]),
        (0.2, 0.3, ["100 ms", "200 ms", "500 ms", "1 s"]),
        (1e300, 1.7e308, ["100,000 s", "200,000 s", "500,000 s", "1,000,000 s"]),
        (-1e308, 0.004, ["1 ms", "2 ms", "5 ms", "10 ms"]),
        (0.5, 4000, ["100 ms", "1 s", "10 s", "100 s", "1,000 s", "10,000 s"]),
    ],
)
def test_a_logarithmic_scale_has_whole_decades(least, most, expected):
    assert labels(log_scale(least, most)) == expected


def test_a_place_and_its_value_belong_together_and_what_lies_beyond_is_at_the_edge():
    for scale in (linear_scale(7), log_scale(0.02, 0.9)):
        for tick in scale.ticks:
            assert scale.place(scale.value(tick.place)) == pytest.approx(tick.place)
    assert log_scale(0.02, 0.9).place(0) == 0
    assert log_scale(0.02, 0.9).place(0.1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("span_s", "expected"),
    [
        (60, ["11:06:40", "11:06:50", "11:07"]),
        (86400, ["12:00", "15:00", "18:00"]),
        (3 * 86400, ["12:00", "19 Nov", "12:00"]),
        (40 * 86400, ["19 Nov", "26 Nov", "3 Dec"]),
    ],
)
def test_times_have_ticks_at_round_times(span_s, expected):
    ticks = time_ticks(1_795_000_000, 1_795_000_000 + span_s)
    assert [tick.label for tick in ticks][:3] == expected
    assert len(ticks) <= 10
    assert all(0 <= tick.place <= 1 for tick in ticks)
