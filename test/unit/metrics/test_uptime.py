"""Gaps and restarts, from the starts of processes that lines name."""

import math

import numpy as np

from src.metrics.tally import Rows
from src.metrics.uptime import Gap, Uptime


def rows(*lines: tuple[float, float]) -> Rows:
    """Lines that ended at a time, of processes that started at another."""
    return np.array(list(lines), [("ts", float), ("process_started", float)])


def test_a_gap_lasts_from_the_last_line_of_a_process_to_the_start_of_the_next():
    uptime = Uptime()
    uptime.add(rows((10, 1), (30, 1), (20, 1)))
    uptime.add(rows((41, 40), (90, 40), (101, 100)))
    assert uptime.gaps == [Gap(30, 40), Gap(90, 100)]
    assert uptime.restarts == [40, 100]


def test_a_process_that_takes_over_while_another_still_answers_leaves_no_gap():
    uptime = Uptime()
    uptime.add(rows((10, 1), (60, 1), (55, 50), (80, 50), (120, 50)))
    assert uptime.gaps == []
    assert uptime.restarts == [50]


def test_lines_that_name_no_process_tell_nothing():
    uptime = Uptime()
    uptime.add(rows((10, math.nan), (500, math.nan), (30, 1e300)))
    assert (uptime.gaps, uptime.restarts) == ([], [])


def test_a_sign_of_a_process_ends_its_quiet_time():
    uptime = Uptime()
    uptime.add_sign(1, 39)
    uptime.add(rows((10, 1), (30, 1), (41, 40)))
    uptime.add_sign(40, 41)
    uptime.add_sign(60, 70)  # it had no requests
    assert uptime.gaps == [Gap(39, 40), Gap(41, 60)]
    assert uptime.restarts == [40, 60]
