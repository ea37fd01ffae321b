"""The trace of a request: the figures of its clips, and its lines in the logs."""

import asyncio
import json
import logging
from pathlib import Path

from virtual_time import in_virtual_time

from src.metrics import MetricsLog
from src.metrics.refusals import BURST
from src.metrics.trace import (
    CLIENT_CLOSED,
    COUNTED_S,
    Measurements,
    Trace,
    write_counts,
    write_counts_periodically,
    write_refusal,
    write_trace,
)


def measured() -> Measurements:
    found = Measurements()
    found.add_audio(2.0)
    found.add_audio(1.5)
    found.add_preprocessing(0.25)
    found.add_preprocessing(0.5)
    found.add_diarization(0.5)
    found.add_diarization(0.25)
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
        duration_diarize_s=0.75,
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
        "duration_diarize_s": 0.75,
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
    assert "replica" not in first


def test_a_line_names_its_replica_where_there_are_several(tmp_path):
    metrics = MetricsLog(tmp_path, replica="pod-1")
    write_trace(Trace("req-1", status=200), metrics, model="tiny", route="/v1/realtime", label="WS")
    metrics.close()
    assert json.loads(metrics.path.read_text())["replica"] == "pod-1"


def test_a_request_that_the_server_itself_refuses_has_its_lines_too(tmp_path, caplog):
    caplog.set_level(logging.INFO, "src.access")
    metrics = MetricsLog(tmp_path)
    write_refusal(metrics, "tiny", "HTTP", 400, "invalid_http")
    metrics.close()
    line = json.loads(metrics.path.read_text())
    assert (line["status"], line["code"], line["error"], line["route"]) == ("error", 400, "invalid_http", "unknown")
    assert line["request_id"].startswith("req_")
    assert caplog.messages[0].startswith("HTTP unknown 400 invalid_http in 0.")


def test_the_address_is_named_where_it_is_given(tmp_path, caplog):
    caplog.set_level(logging.INFO, "src.access")
    metrics = MetricsLog(tmp_path)
    trace = Trace("req-1", status=401, error_code="invalid_api_key")
    write_trace(trace, metrics, model="tiny", route="unknown", label="WS unknown", client="192.0.2.7")
    metrics.close()
    assert caplog.messages[0].endswith(", req-1, from 192.0.2.7")


def flooded(log_dir: Path) -> MetricsLog:
    """A log after many requests with a wrong key."""
    metrics = MetricsLog(log_dir)
    for number in range(BURST + 3000):
        trace = Trace(f"req-{number}", status=401, error_code="invalid_api_key")
        write_trace(trace, metrics, model="tiny", route="unknown", label="POST unknown")
    return metrics


def test_of_a_flood_of_refused_requests_some_have_lines_and_the_rest_is_one(tmp_path, caplog):
    caplog.set_level(logging.INFO, "src.access")
    metrics = flooded(tmp_path)
    write_counts(metrics)
    write_counts(metrics)
    metrics.close()
    *single, last = [json.loads(line) for line in metrics.path.read_text().splitlines()]
    assert BURST <= len(single) < BURST + 3000
    assert not any("count" in line for line in single)
    assert len(single) + last["count"] == BURST + 3000
    assert (last["code"], last["error"], last["request_id"]) == (401, "invalid_api_key", "")
    assert caplog.messages[-1] == f"POST unknown 401 invalid_api_key, {last['count']} more like it"
    assert len(caplog.messages) == len(single) + 1


def test_requests_that_brought_audio_have_a_line_each_whatever_became_of_them(tmp_path):
    metrics = flooded(tmp_path)
    for number in range(2 * BURST):
        trace = Trace(f"audio-{number}", status=503, error_code="queue_timeout", measured=measured())
        write_trace(trace, metrics, model="tiny", route="/v1/audio/transcriptions", label="POST")
    metrics.close()
    assert metrics.path.read_text().count('"audio-') == 2 * BURST


@in_virtual_time
async def test_what_is_counted_is_written_every_minute(tmp_path):
    metrics = flooded(tmp_path)
    writing = asyncio.create_task(write_counts_periodically(metrics))
    await asyncio.sleep(COUNTED_S + 1)
    writing.cancel()
    metrics.close()
    assert '"count":' in metrics.path.read_text().splitlines()[-1]
