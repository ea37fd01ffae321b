"""What is counted of each line."""

import json

import pytest
from records import NOW, a_failure, a_record

from src.metrics.counters import FORGOTTEN_S, SUCCESS, Counters, Histogram, Start
from src.metrics.parser import Failure, Parser, Source

FILES = Source("tiny", "/v1/audio/transcriptions")


def counted(*records) -> Counters:
    parser, counters = Parser(), Counters()
    counters.add([parser.parse(record.to_line().encode()) for record in records], parser)
    return counters


def test_a_value_belongs_to_the_first_bucket_that_it_does_not_exceed():
    histogram = Histogram((1, 2))
    for value in (0, 1, 1.5, 2, 3, float("nan")):
        histogram.add(value)
    assert (histogram.counts, histogram.total) == ([2, 2, 1], 7.5)


def test_figures_are_those_of_the_report():
    counters = counted(
        a_record(NOW, process_started=NOW - 50),
        a_record(NOW - 9, process_started=NOW - 90, duration_total_s=2.0, batch_size=None),
        a_failure(500, "internal_error", NOW - 8, duration_inference_s=0.4, batch_size=8, audio_len_s=99.0),
        a_failure(401, None, NOW - 7, count=20),
    )
    found = counters.sources[FILES]
    assert found.requests == {SUCCESS: 2, Failure(500, "internal_error"): 1, Failure(401, ""): 20}
    assert found.audio_s == 20
    assert found.busy_s == pytest.approx(0.08 / 4 + 0.08 + 0.4 / 8)
    assert sum(found.total_s.counts) == 2
    assert found.total_s.total == pytest.approx(2.12)
    assert (sum(found.batch_size.counts), found.batch_size.total) == (2, 12)
    assert (counters.last_ts, counters.starts) == (NOW, {"": Start(NOW - 50, NOW)})


def test_each_replica_has_the_start_of_its_latest_process_until_it_is_gone_for_long():
    counters = counted(
        a_record(NOW, process_started=NOW - 90, replica="a"),
        a_record(NOW + 1, process_started=NOW - 80, replica="b"),
        a_record(NOW + 2, process_started=NOW - 10, replica="a"),
        a_record(NOW + 3, replica="c"),
    )
    assert counters.sources[FILES].requests == {SUCCESS: 4}
    assert counters.starts == {"a": Start(NOW - 10, NOW + 2), "b": Start(NOW - 80, NOW + 1)}
    parser = Parser()
    line = a_record(NOW + 2 + FORGOTTEN_S, process_started=NOW - 10, replica="a").to_line().encode()
    counters.add([parser.parse(line)], parser)
    assert list(counters.starts) == ["a"]


def test_counters_from_before_there_were_replicas_go_on():
    document = counted(a_record(NOW, process_started=NOW - 50)).to_json()
    document[3] = NOW - 50
    assert Counters.from_json(document).starts == {"": Start(NOW - 50, NOW)}
    document[3] = 0.0
    assert Counters.from_json(document).starts == {}


def test_counters_survive_as_json():
    counters = counted(a_record(), a_record(route="/x"), a_failure(429, "queue_full"))
    assert Counters.from_json(json.loads(json.dumps(counters.to_json()))) == counters


def test_json_of_another_form_is_refused():
    document = counted(a_record()).to_json()
    document[0][0][2][3][0].pop()  # a bucket less
    with pytest.raises(ValueError, match="buckets"):
        Counters.from_json(document)
    for other in ([], [1], [[], 1, 2, 3, 4, 5]):
        with pytest.raises((ValueError, TypeError)):
            Counters.from_json(other)


def test_what_utf_8_cannot_hold_does_not_make_two_series_of_one():
    counters = counted(
        a_record(model="\ud800"), a_record(model="\ud801"), a_failure(500, "\udfff"), a_failure(500, "\udffe")
    )
    assert [source.model for source in counters.sources] == ["?", "tiny"]
    assert counters.sources[FILES].requests == {Failure(500, "?"): 2}
