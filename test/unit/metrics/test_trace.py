"""The trace of a request: the figures of its clips, and its lines in the logs."""

import json
import logging

from src.metrics import MetricsLog
from src.metrics.trace import CLIENT_CLOSED, Measurements, Trace, write_trace


def measured() -> Measurements:
    found = Measurements()
    found.add_audio(2.0)
    found.add_audio(1.5)
    found.add_preprocessing(0.25)
    found.add_preprocessing(0.5)
    found.add_clip(queue_wait_s=0.125, inference_s=1.0, lane=1, batch_size=4)
    found.add_clip(queue_wait_s=9.0, inference_s=0.5, lane=0, batch_size=2)
    return found


def test_audio_and_times_add_up_and_the_rest_is_the_first_clips():
    assert measured() == Measurements(
        audio_len_s=3.5,
        duration_preprocess_s=0.75,
        duration_inference_s=1.5,
        queue_wait_s=0.125,
        lane=1,
        batch_size=4,
    )


def test_a_record_has_every_figure_under_its_own_name():
    record = Trace("req-1", status=200, measured=measured()).record(model="tiny", route="/v1/audio/transcriptions")
    line = json.loads(record.to_line())
    assert 0 <= line.pop("duration_total_s") < 600
    assert line.pop("ts") > 1_700_000_000
    assert line == {
        "status": "ok",
        "code": 200,
        "audio_len_s": 3.5,
        "duration_preprocess_s": 0.75,
        "duration_inference_s": 1.5,
        "queue_wait_s": 0.125,
        "model": "tiny",
        "request_id": "req-1",
        "route": "/v1/audio/transcriptions",
        "lane": 1,
        "batch_size": 4,
        "error": None,
    }


def test_until_it_is_answered_a_request_counts_as_one_whose_client_left():
    record = Trace("req-1").record(model="tiny", route="unknown")
    assert (record.status, record.code, record.error) == ("error", CLIENT_CLOSED, None)
    assert (record.audio_len_s, record.queue_wait_s, record.lane) == (None, None, None)


def test_an_outcome_is_the_status_and_the_word_of_the_error():
    assert Trace("req-1", status=200).outcome == "200"
    assert Trace("req-1", status=429, error_code="queue_full").outcome == "429 queue_full"


def test_what_ends_is_one_line_in_each_of_the_logs(tmp_path, caplog):
    caplog.set_level(logging.INFO, "src.access")
    metrics = MetricsLog(tmp_path)
    answered = Trace("req-1", status=200, measured=measured())
    write_trace(
        answered, metrics, model="tiny", route="/v1/audio/transcriptions", label="POST /v1/audio/transcriptions"
    )
    rejected = Trace("req-2", status=429, error_code="queue_full")
    write_trace(rejected, metrics, model="tiny", route="/v1/realtime", label="WS /v1/realtime item")
    metrics.close()
    lines = [json.loads(line) for line in metrics.path.read_text().splitlines()]
    assert [(line["request_id"], line["route"], line["error"]) for line in lines] == [
        ("req-1", "/v1/audio/transcriptions", None),
        ("req-2", "/v1/realtime", "queue_full"),
    ]
    first, second = caplog.messages
    took_s = [f"{line['duration_total_s']:.3f}" for line in lines]
    assert first == f"POST /v1/audio/transcriptions 200 in {took_s[0]} s, audio 3.50 s, req-1"
    assert second == f"WS /v1/realtime item 429 queue_full in {took_s[1]} s, req-2"


def test_a_line_says_how_many_sessions_are_open_and_since_when_the_process_runs(tmp_path):
    metrics = MetricsLog(tmp_path, live_sessions=lambda: 7)
    for _ in range(2):
        write_trace(Trace("req-1", status=200), metrics, model="tiny", route="/v1/realtime", label="WS")
    metrics.close()
    first, second = [json.loads(line) for line in metrics.path.read_text().splitlines()]
    assert (first["sessions"], second["sessions"]) == (7, 7)
    assert first["process_started"] == second["process_started"] <= first["ts"]
