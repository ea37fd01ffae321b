"""The sessions of all replicas together, at the time of each line."""

import math

import numpy as np

from src.metrics.process_ends import ProcessEnd
from src.metrics.session_totals import FORGOTTEN_S, SessionTotals

FIELDS = [(name, float) for name in ("ts", "sessions", "process_started", "replica")]


def totals(sessions: SessionTotals, *lines: tuple[float, float, float, float]) -> list[float]:
    """The totals of lines, each with its time, sessions, start of its process, and number of its replica."""
    return sessions.apply(np.array(list(lines), FIELDS))["sessions"].tolist()


def test_one_replica_alone_has_what_its_lines_say_also_after_a_restart():
    sessions = SessionTotals([])
    assert totals(sessions, (10, 3, 1, 0), (11, 5, 1, 0), (12, 1, 11.5, 0)) == [3, 5, 1]


def test_the_last_counts_of_all_replicas_are_added_up_across_blocks():
    sessions = SessionTotals([])
    assert totals(sessions, (10, 3, 1, 0)) == [3]
    assert totals(sessions, (11, 4, 1, 1), (12, 1, 1, 0), (13, 0, 1, 2)) == [7, 5, 5]
    assert totals(sessions, (14, 0, 1, 1)) == [1]


def test_a_line_that_does_not_tell_sessions_stays_as_it_is():
    sessions = SessionTotals([])
    first, second, third = totals(sessions, (10, 3, 1, 0), (11, math.nan, 1, 1), (12, 2, 1, 1))
    assert (first, third) == (3, 5)
    assert math.isnan(second)


def test_the_sessions_of_a_process_end_with_it():
    sessions = SessionTotals([ProcessEnd(1, 20.0)])
    lines = [(10, 3, 1, 0), (11, 4, 2, 1), (19, 4, 2, 1), (21, 4, 2, 1)]
    assert totals(sessions, *lines) == [3, 7, 7, 4]


def test_a_replica_that_has_written_nothing_for_long_counts_no_longer():
    sessions = SessionTotals([])
    late = 10 + FORGOTTEN_S
    lines = [(10, 3, 1, 0), (11, 4, 2, 1), (late - 1, 4, 2, 1), (late, 4, 2, 1), (late + 1, 3, 1, 0)]
    assert totals(sessions, *lines) == [3, 7, 7, 4, 7]
