"""Requests added up, at once or in parts."""

import math
from collections import Counter

import numpy as np
import pytest
from records import NOW, a_failure, a_record

from src.metrics.outcome import RequestOutcome
from src.metrics.parser import Failure, Parser, Row
from src.metrics.tally import Rows, Tally

RECORDS = [
    a_record(NOW, sessions=2),
    a_record(NOW, duration_total_s=2.0, queue_wait_s=None, batch_size=None, audio_len_s=30.0),
    a_failure(429, "queue_full", count=5),
    a_failure(500, "internal_error", duration_inference_s=0.6, batch_size=3, audio_len_s=99.0),
    a_failure(499, "client_closed", sessions=4),
]


def rows_of(records) -> tuple[Rows, list[Failure]]:
    parser = Parser()
    rows = [parser.parse(record.to_line().encode()) for record in records]
    return np.array(rows, [(name, float) for name in Row._fields]), list(parser.failures)


def tally_of(records) -> Tally:
    tally = Tally()
    tally.add(*rows_of(records))
    return tally


def test_each_figure_is_that_of_the_report():
    tally = tally_of(RECORDS)
    assert [tally.count_of(outcome) for outcome in RequestOutcome] == [2, 5, 1, 1]
    assert tally.requests == 9
    assert tally.failures == Counter(
        {Failure(429, "queue_full"): 5, Failure(500, "internal_error"): 1, Failure(499, "client_closed"): 1}
    )
    assert tally.total.percentiles().p50 == pytest.approx(1.06)
    assert tally.queue_wait.percentiles().p50 == 0.02
    assert tally.audio_s == 40
    assert tally.rtfx == pytest.approx(40 / (0.08 / 4 + 0.08 + 0.6 / 3))
    assert (tally.mean_batch_size, tally.largest_batch, tally.most_sessions) == (3.5, 4, 4)


def test_parts_add_up_to_the_whole():
    whole, parts = tally_of(RECORDS), Tally.merged(map(tally_of, ([each] for each in RECORDS)))
    assert parts.outcomes.tolist() == whole.outcomes.tolist()
    assert parts.failures == whole.failures
    assert parts.total.percentiles() == whole.total.percentiles()
    for name in ("audio_s", "busy_s", "batches", "batch_sum", "largest_batch", "most_sessions"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name))


def test_nothing_has_no_ratios_and_lines_of_an_earlier_version_tell_of_no_sessions():
    assert (Tally().rtfx, Tally().mean_batch_size) == (None, None)
    assert math.isnan(tally_of([a_record()]).most_sessions)
