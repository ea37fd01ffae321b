"""Prometheus' text format, read by a strict parser."""

from exposition_parser import parse, value
from hypothesis import given, settings
from hypothesis import strategies as st
from records import NOW, a_failure, a_record

from src.metrics.counters import Counters
from src.metrics.exposition import expose
from src.metrics.load import Load, ProcessLoad
from src.metrics.parser import MOST, Parser


def exposed(*records) -> str:
    parser, counters = Parser(), Counters()
    counters.add([parser.parse(record.to_line().encode()) for record in records], parser)
    return expose(counters, "gpu0")


def test_every_metric_has_help_type_and_a_name_with_its_unit():
    text = exposed(a_record(process_started=NOW - 9), a_failure(429, "queue_full", count=3))
    samples = parse(text)
    assert {name for name, _ in samples} == {
        "parakeet_requests_total",
        "parakeet_audio_seconds_total",
        "parakeet_model_busy_seconds_total",
        *(
            f"parakeet_{name}_{part}"
            for name in (
                "request_duration_seconds",
                "queue_wait_seconds",
                "inference_duration_seconds",
                "batch_size_clips",
            )
            for part in ("bucket", "sum", "count")
        ),
        "parakeet_log_skipped_lines_total",
        "parakeet_last_request_timestamp_seconds",
        "parakeet_process_start_time_seconds",
    }
    assert value(samples, "parakeet_requests_total", outcome="refused", code="429", error="queue_full") == 3
    assert value(samples, "parakeet_request_duration_seconds_bucket", le="0.1") == 0
    assert value(samples, "parakeet_request_duration_seconds_bucket", le="0.25") == 1
    assert value(samples, "parakeet_request_duration_seconds_sum") == 0.12


hostile = st.text(st.sampled_from('a"\\\n{},= #é<&\r\t\u2028'), max_size=8)


@settings(max_examples=30)
@given(st.lists(st.tuples(hostile, hostile, hostile), min_size=1, max_size=4))
def test_labels_keep_any_text(names):
    samples = parse(exposed(*(a_failure(500, error, model=model, route=route) for model, route, error in names)))
    labels = [dict(labels) for name, labels in samples if name == "parakeet_requests_total"]
    expected = {(model or "unknown", route or "unknown", error) for model, route, error in names}
    assert {(each["model"], each["route"], each["error"]) for each in labels} == expected


def test_every_series_names_its_service():
    samples = parse(exposed(a_record(), a_failure(429, "queue_full")))
    assert {dict(labels)["service"] for _, labels in samples} == {"gpu0"}


def test_gauges_tell_the_load_of_each_replica_and_those_without_a_name_are_one():
    def loaded(replica: str, queued_audio_s: float, sessions: int, batch_size: float) -> ProcessLoad:
        load = Load(
            queued_audio_s, 0, uploads=0, sessions=sessions, max_sessions=9, batch_size=batch_size, audio_s_per_s=0,
            ready=True,
        )  # fmt: skip
        return ProcessLoad(NOW, NOW - 60, replica, load)

    loads = [loaded("a", 1.5, 2, 4), loaded("b", 0, 0, 0), loaded("", 3, 1, 1), loaded("", 4, 1, 2)]
    samples = parse(expose(Counters(), "gpu0", loads))
    found = {
        (name, dict(labels).get("replica")): value
        for (name, labels), value in samples.items()
        if name in ("parakeet_queued_audio_seconds", "parakeet_open_sessions", "parakeet_recent_batch_size")
    }
    assert found == {
        ("parakeet_queued_audio_seconds", "a"): 1.5,
        ("parakeet_queued_audio_seconds", "b"): 0,
        ("parakeet_queued_audio_seconds", None): 7,
        ("parakeet_open_sessions", "a"): 2,
        ("parakeet_open_sessions", "b"): 0,
        ("parakeet_open_sessions", None): 2,
        ("parakeet_recent_batch_size", "a"): 4,
        ("parakeet_recent_batch_size", "b"): 0,
        ("parakeet_recent_batch_size", None): 1.5,
    }


def test_each_replica_has_its_start_and_requests_are_added_up():
    records = [a_record(process_started=NOW - 9 - number, replica=name) for number, name in enumerate("ab")]
    samples = parse(exposed(*records))
    assert value(samples, "parakeet_requests_total") == 2
    assert len([name for name, _ in samples if name == "parakeet_requests_total"]) == 1
    for number, name in enumerate("ab"):
        assert value(samples, "parakeet_process_start_time_seconds", replica=name) == NOW - 9 - number


def test_nothing_counted_is_valid_too():
    assert set(parse(expose(Counters(), 'a"b\\c\nd')).values()) == {0.0}


numbers = st.none() | st.floats(-MOST, MOST)


@settings(max_examples=30)
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=4))
def test_whatever_numbers_a_log_has_they_are_exposed(lines):
    names = ("audio_len_s", "duration_inference_s", "batch_size")
    records = [a_record(duration_total_s=line[0], **dict(zip(names, line, strict=True))) for line in lines]
    assert value(parse(exposed(*records)), "parakeet_requests_total") == len(lines)
