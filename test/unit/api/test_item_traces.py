"""The lines of realtime items in the metrics."""

import json

import pytest

from src.api.item_traces import ItemTraces
from src.errors import QueueFull
from src.metrics import MetricsLog
from src.metrics.log import metrics_path


@pytest.fixture
def log(tmp_path):
    log = MetricsLog(tmp_path)
    yield log
    log.close()


@pytest.fixture
def traces(log):
    return ItemTraces(log, "tiny", "/v1/realtime")


def written(log, tmp_path) -> list[dict]:
    """The lines so far, once they are on the disk."""
    log.flush()
    return [json.loads(line) for line in metrics_path(tmp_path).read_text().splitlines()]


def test_an_item_becomes_a_line_with_its_length_and_what_was_measured(traces, log, tmp_path):
    traces.begin("item_1", 2.5)
    traces.measured("item_1").add_clip(queue_wait_s=0.25, inference_s=0.5, lane=1, batch_size=3)
    traces.end("item_1", None)
    (line,) = written(log, tmp_path)
    assert (line["request_id"], line["route"], line["model"]) == ("item_1", "/v1/realtime", "tiny")
    assert (line["status"], line["code"], line["error"]) == ("ok", 200, None)
    assert (line["audio_len_s"], line["queue_wait_s"], line["duration_inference_s"]) == (2.5, 0.25, 0.5)
    assert (line["lane"], line["batch_size"]) == (1, 3)


def test_an_item_that_fails_has_the_status_and_code_of_its_error(traces, log, tmp_path):
    traces.begin("item_1", 1.0)
    traces.end("item_1", QueueFull("The queue is full."))
    (line,) = written(log, tmp_path)
    assert (line["status"], line["code"], line["error"]) == ("error", 429, "queue_full")


def test_items_whose_client_has_gone_are_lines_too_once_each(traces, log, tmp_path):
    for number in range(3):
        traces.begin(f"item_{number}", 1.0)
    traces.end("item_1", None)
    traces.end_all()
    traces.end_all()
    lines = written(log, tmp_path)
    assert [(line["request_id"], line["code"], line["error"]) for line in lines] == [
        ("item_1", 200, None),
        ("item_0", 499, "client_closed"),
        ("item_2", 499, "client_closed"),
    ]
