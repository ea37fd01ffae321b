"""Gaps and restarts, from the starts of processes that lines name."""

import math

import numpy as np

from src.metrics.tally import Rows
from src.metrics.uptime import Gap, Process, Uptime

REPLICAS = ("", "a", "b")


def rows(*lines: tuple[float, float], replica: str = "") -> Rows:
    """Lines that ended at a time, of processes of one replica that started at another."""
    number = REPLICAS.index(replica)
    fields = [("ts", float), ("process_started", float), ("replica", float)]
    return np.array([(*line, number) for line in lines], fields)


def test_a_gap_lasts_from_the_last_line_of_a_process_to_the_start_of_the_next():
    uptime = Uptime()
    uptime.add(rows((10, 1), (30, 1), (20, 1)), REPLICAS)
    uptime.add(rows((41, 40), (90, 40), (101, 100)), REPLICAS)
    assert uptime.gaps == [Gap(30, 40), Gap(90, 100)]
    assert uptime.restarts == [Process(40), Process(100)]


def test_a_process_that_takes_over_while_another_still_answers_leaves_no_gap():
    uptime = Uptime()
    uptime.add(rows((10, 1), (60, 1), (55, 50), (80, 50), (120, 50)), REPLICAS)
    assert uptime.gaps == []
    assert uptime.restarts == [Process(50)]


def test_lines_that_name_no_process_tell_nothing():
    uptime = Uptime()
    uptime.add(rows((10, math.nan), (500, math.nan), (30, 1e300)), REPLICAS)
    assert (uptime.gaps, uptime.restarts) == ([], [])


def test_a_sign_of_a_process_ends_its_quiet_time():
    uptime = Uptime()
    uptime.add_sign(Process(1), 39)
    uptime.add(rows((10, 1), (30, 1), (41, 40)), REPLICAS)
    uptime.add_sign(Process(40), 41)
    uptime.add_sign(Process(60), 70)  # it had no requests
    assert uptime.gaps == [Gap(39, 40), Gap(41, 60)]
    assert uptime.restarts == [Process(40), Process(60)]


def test_the_service_is_there_while_one_of_its_replicas_is_and_each_start_has_its_name():
    uptime = Uptime()
    uptime.add(rows((10, 1), (60, 1), replica="a"), REPLICAS)
    uptime.add(rows((30, 2), (55, 50), replica="b"), REPLICAS)  # b was killed at 30, while a went on
    uptime.add(rows((120, 100), replica="a"), REPLICAS)
    assert uptime.gaps == [Gap(60, 100)]
    assert uptime.restarts == [Process(2, "b"), Process(50, "b"), Process(100, "a")]


def test_two_replicas_that_started_at_the_same_time_are_two():
    uptime = Uptime()
    for replica in ("a", "b"):
        uptime.add(rows((10, 1), replica=replica), REPLICAS)
    assert uptime.restarts == [Process(1, "b")]
