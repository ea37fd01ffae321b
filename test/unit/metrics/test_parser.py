"""Lines as the service writes them take the fast path, and are read alike on either."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import NOW, a_failure, a_record

from src.metrics import parser
from src.metrics.parser import UNKNOWN, Failure, Parser, Row, Source
from src.metrics.record import Record

seconds = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9)
plain = st.text("abcxyz_-/.:{}<> 0189", max_size=20)
records = st.builds(
    Record,
    ts=st.floats(0, 4e9),
    status=st.sampled_from(["ok", "error"]),
    code=st.integers(100, 599),
    audio_len_s=st.none() | seconds,
    duration_preprocess_s=st.none() | seconds,
    duration_inference_s=st.none() | seconds,
    duration_total_s=seconds,
    queue_wait_s=st.none() | seconds,
    model=plain,
    request_id=plain,
    route=plain,
    lane=st.none() | st.integers(0, 64),
    batch_size=st.none() | st.integers(1, 4096),
    error=st.none() | plain,
    sessions=st.none() | st.integers(0, 1000),
    process_started=st.none() | st.floats(0, 4e9),
    count=st.none() | st.integers(1, 10**6),
    duration_diarize_s=st.none() | seconds,
    replica=st.none() | plain,
)


def as_json(line: str) -> bytes:
    """The line as another program may write it, which takes the slow path."""
    return json.dumps(json.loads(line)).encode() + b"\n"


def floats(row: Row | None) -> list[str]:
    """The numbers of a row, so that NaN equals NaN."""
    assert row is not None
    return [repr(float(number)) for number in row]


@settings(max_examples=50)
@given(records)
def test_a_line_of_the_service_takes_the_fast_path_and_means_the_same_as_any_other_json(record):
    line = record.to_line()
    assert parser._FAST_LINE.fullmatch(line.encode() + b"\n")
    assert not parser._FAST_LINE.fullmatch(as_json(line))
    fast, slow = Parser(), Parser()
    assert floats(fast.parse(line.encode() + b"\n")) == floats(slow.parse(as_json(line)))
    assert fast.failures == slow.failures
    assert fast.sources == slow.sources
    assert fast.replicas == slow.replicas


def test_each_figure_of_a_line_is_read():
    reading = Parser()
    reading.parse(a_record().to_line().encode() + b"\n")
    row = reading.parse(a_record(sessions=3, process_started=NOW - 60, replica="pod-1").to_line().encode() + b"\n")
    assert row is not None
    assert row._asdict() == {
        "ts": NOW,
        "failure": -1,
        "audio_len_s": 10.0,
        "duration_total_s": 0.12,
        "queue_wait_s": 0.02,
        "duration_inference_s": 0.08,
        "batch_size": 4.0,
        "requests": 1,
        "source": 0,
        "sessions": 3.0,
        "process_started": NOW - 60,
        "replica": 1,
    }
    assert reading.replicas == {"": 0, "pod-1": 1}
    assert reading.sources == {Source("tiny", "/v1/audio/transcriptions"): 0}


def test_what_a_request_did_not_reach_is_nan():
    row = Parser().parse(a_failure(429, "queue_full").to_line().encode() + b"\n")
    assert row is not None
    assert row.duration_total_s == 0.12
    assert all(map(math.isnan, (row.audio_len_s, row.queue_wait_s, row.duration_inference_s, row.batch_size)))


def test_kinds_of_failure_are_numbered_as_they_come():
    reading = Parser()
    kinds = [(429, "queue_full"), (500, None), (429, "queue_full"), (429, "queue_timeout")]
    rows = [reading.parse(a_failure(*kind).to_line().encode()) for kind in kinds]
    assert [row and row.failure for row in rows] == [0, 1, 0, 2]
    assert reading.failures == {Failure(429, "queue_full"): 0, Failure(500, ""): 1, Failure(429, "queue_timeout"): 2}
    assert [str(kind) for kind in reading.failures] == ["429 queue_full", "500", "429 queue_timeout"]


def test_models_and_routes_are_numbered_as_they_come_and_what_is_no_text_is_unknown():
    reading = Parser()
    lines = [a_record(model="a").to_line(), a_record(route="/x").to_line(), a_record(model="a").to_line()]
    lines += ['{"ts":1,"status":"ok","code":200}', '{"ts":1,"status":"ok","code":200,"model":7,"route":[]}']
    rows = [reading.parse(line.encode() + b"\n") for line in lines]
    assert [row and row.source for row in rows] == [0, 1, 0, 2, 2]
    route = "/v1/audio/transcriptions"
    assert list(reading.sources) == [Source("a", route), Source("tiny", "/x"), Source(UNKNOWN, UNKNOWN)]


@pytest.mark.parametrize("count", ["0", "-1", "1.5", '"2"', "true", "NaN"])
def test_a_line_that_stands_for_no_whole_number_of_requests_is_no_line(count):
    line = f'{{"ts":1,"status":"error","code":401,"count":{count}}}'
    assert Parser().parse(line.encode()) is None
    written = a_failure(401, None, count=7).to_line().replace('"count":7', f'"count":{count}')
    assert Parser().parse(written.encode() + b"\n") is None


@pytest.mark.parametrize("line", [b"", b"{}", b"null", b"no json", b'{"ts":1,"status":"maybe","code":1}'])
def test_anything_else_is_no_line_of_the_log(line):
    assert Parser().parse(line) is None


def test_a_field_of_a_type_without_a_pattern_is_found_at_once():
    with pytest.raises(KeyError):
        parser._item_pattern("new", list[int])
    with pytest.raises(KeyError):
        parser._item_pattern("new", bool | None)
