"""The line of a record: its keys, their order and their values."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import a_failure, a_record

from src.metrics.record import Record


def test_a_line_has_the_fields_in_their_order_byte_for_byte():
    assert a_record().to_line() == (
        '{"ts":1795000000.0,"status":"ok","code":200,"audio_len_s":10.0,"duration_preprocess_s":0.01,'
        '"duration_inference_s":0.08,"duration_total_s":0.12,"queue_wait_s":0.02,"model":"tiny","request_id":"req-1",'
        '"route":"/v1/audio/transcriptions","lane":0,"batch_size":4,"error":null}'
    )
    assert a_failure(429, "queue_full").to_line() == (
        '{"ts":1795000000.0,"status":"error","code":429,"audio_len_s":null,"duration_preprocess_s":null,'
        '"duration_inference_s":null,"duration_total_s":0.12,"queue_wait_s":null,"model":"tiny","request_id":"req-1",'
        '"route":"/v1/audio/transcriptions","lane":null,"batch_size":null,"error":"queue_full"}'
    )


def test_a_line_has_the_last_fields_only_if_they_are_known():
    line = a_record(sessions=0, process_started=1_794_000_000.25, count=2, replica="a").to_line()
    extras = ',"sessions":0,"process_started":1794000000.25,"count":2,"replica":"a"}'
    assert line == a_record().to_line()[:-1] + extras


seconds = st.floats()
words = st.sampled_from(["", "tiny", 'quo"te\\', "two\nlines\r\u2028", "\ud800", "\0é", "x" * 10_000])


@settings(max_examples=50)
@given(
    st.builds(
        Record,
        ts=seconds,
        status=words,
        code=st.integers(),
        audio_len_s=st.none() | seconds,
        duration_preprocess_s=st.none() | seconds,
        duration_inference_s=st.none() | seconds,
        duration_total_s=seconds,
        queue_wait_s=st.none() | seconds,
        model=words,
        request_id=words,
        route=words,
        lane=st.none() | st.integers(),
        batch_size=st.none() | st.integers(),
        error=st.none() | words,
    )
)
def test_a_line_holds_the_record_to_the_microsecond_and_null_for_what_is_no_number(record):
    line = record.to_line()
    entry = json.loads(line, parse_constant=pytest.fail)
    assert len(line.splitlines()) == 1
    for name, value in entry.items():
        given_value = getattr(record, name)
        if isinstance(given_value, float) and not math.isfinite(given_value):
            assert value is None
        elif isinstance(given_value, float):
            assert value == pytest.approx(given_value, abs=0.6e-6)
        else:
            assert value == given_value


def test_times_are_written_in_microseconds():
    assert '"ts":1795000000.123457,' in a_record(1_795_000_000.123_456_7).to_line()
    assert '"queue_wait_s":0.333333,' in a_record(queue_wait_s=1 / 3).to_line()
