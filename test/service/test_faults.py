"""Faults of the model and its device: the errors of clients, what is tried again, and how the process ends."""

import base64
import json
import signal
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
import torch
from fakes import FaultyModel, HeldModel, clip
from running_service import serving, until
from service_process import WITH_QUICK_MODEL, service_of
from websockets.sync.client import connect

from src.engine.device_errors import MemoryExhausted
from src.errors import DeviceLost
from src.scheduling.job_queue import JobQueue
from src.settings import Settings

LOST = DeviceLost("CUDA error: an illegal memory access was encountered")


def pcm(number):
    return (clip(number) * 32767).astype("<i2").tobytes()


def transcribe(service, number):
    with httpx.Client(base_url=service.http.base_url, timeout=300) as client:
        return client.post("/v1/audio/transcriptions", content=pcm(number), headers={"content-type": "audio/pcm"})


def all_at_once(service, numbers):
    """Post a clip for each number at once, and return the answers in their order."""
    with ThreadPoolExecutor(len(numbers)) as threads:
        return list(threads.map(lambda number: transcribe(service, number), numbers))


def settings(tmp_path, **given):
    return Settings(**{"model_id": "tiny", "log_dir": tmp_path, "max_queue_wait_s": 60} | given)


def test_a_lost_device_answers_every_open_request_and_closes_the_service(tmp_path):
    model = FaultyModel(LOST, held=True)
    with serving(settings(tmp_path, microbatch_max_batch=2), lambda _: model) as service:
        with ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(transcribe, service, number) for number in range(8)]
            until(lambda: service.scheduler.admitted == 8 and model.batches)
            model.release_all()
            for answer in answers:
                assert answer.result().status_code == 503
                assert answer.result().json()["error"]["code"] == "model_failed"
                assert int(answer.result().headers["retry-after"]) >= 1
        assert len(model.batches) == 1  # nothing was tried on a lost device
        assert service.http.get("/healthz").status_code == 503
        assert service.http.get("/readyz").json() == {"ready": False}
        assert transcribe(service, 1).json()["error"]["code"] == "model_failed"


def test_a_model_that_hangs_is_given_up_after_the_watchdogs_time(tmp_path):
    model = HeldModel()
    with serving(settings(tmp_path, watchdog_s=0.2), lambda _: model) as service:
        try:
            answers = all_at_once(service, [1, 2, 3])
            assert {answer.status_code for answer in answers} == {503}
            assert {answer.json()["error"]["code"] for answer in answers} == {"model_failed"}
            assert service.http.get("/healthz").status_code == 503
        finally:
            model.release_all()


def test_a_session_gets_an_error_if_the_device_is_lost(tmp_path):
    update = {"type": "transcription", "audio": {"input": {"turn_detection": None}}}
    audio = base64.b64encode(pcm(1)).decode()
    with (
        serving(settings(tmp_path), lambda _: FaultyModel(LOST)) as service,
        connect(f"ws://127.0.0.1:{service.port}/v1/realtime?intent=transcription") as socket,
    ):
        for event in (
            {"type": "session.update", "session": update},
            {"type": "input_audio_buffer.append", "audio": audio},
            {"type": "input_audio_buffer.commit"},
        ):
            socket.send(json.dumps(event))
        events = (json.loads(message) for message in socket)
        failed = next(event for event in events if event["type"].endswith("transcription.failed"))
    assert failed["error"]["code"] == "model_failed"


@pytest.mark.parametrize(
    ("model", "waits"),
    [("FaultyModel(DeviceLost('illegal access'))", "60"), ("HeldModel()", "0.2")],
    ids=["lost device", "hanging model"],
)
def test_the_process_ends_with_70_for_a_supervisor_to_start_it_again(tmp_path, model, waits):
    imports = "from fakes import FaultyModel, HeldModel; from src.errors import DeviceLost"
    program = f"{imports}; from src.__main__ import run_and_exit; run_and_exit(lambda _: {model})"
    with service_of(program, tmp_path, PARAKEET_WATCHDOG_S=waits) as (process, port):
        with ThreadPoolExecutor(4) as threads:
            answers = set(threads.map(lambda _: status_of_upload(port), range(4)))
        assert {503} <= answers <= {503, None}
        assert process.wait(300) == 70
        assert "has failed for good" in process.stderr.read().decode()


def status_of_upload(port: int) -> int | None:
    """The status that a clip gets; None where it comes after the end of the process."""
    url = f"http://127.0.0.1:{port}/v1/audio/transcriptions"
    try:
        return httpx.post(url, content=pcm(1), headers={"content-type": "audio/pcm"}, timeout=300).status_code
    except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
        return None


def test_a_batch_without_enough_memory_is_done_in_halves(tmp_path):
    model = FaultyModel(MemoryExhausted("out of memory"), lambda texts: len(texts) > 2)
    with serving(settings(tmp_path, microbatch_window_ms=2000), lambda _: model) as service:
        answers = all_at_once(service, range(8))
    assert [answer.json()["text"] for answer in answers] == [str(number) for number in range(8)]


def test_a_clip_that_alone_is_too_much_gets_503_and_the_others_their_text(tmp_path):
    model = FaultyModel(MemoryExhausted("out of memory"), lambda texts: "3" in texts)
    with serving(settings(tmp_path), lambda _: model) as service:
        answers = all_at_once(service, range(8))
        assert [answer.status_code for answer in answers] == [200] * 3 + [503] + [200] * 4
        assert answers[3].json()["error"]["code"] == "out_of_memory"
        assert answers[3].headers["retry-after"]
        assert service.http.get("/healthz").status_code == 200


def failing(times, monkeypatch):
    """Have the queue fail so many times, as only a mistake in it could."""
    real, left = JobQueue.pop_batch, [None] * times

    def pop_batch(self, now):
        if left:
            left.pop()
            raise RuntimeError("a mistake")
        return real(self, now)

    monkeypatch.setattr(JobQueue, "pop_batch", pop_batch)


def test_a_lane_that_fails_goes_on(tmp_path, monkeypatch, caplog):
    failing(3, monkeypatch)
    with serving(settings(tmp_path, lanes=1), lambda _: HeldModel(held=False)) as service:
        assert transcribe(service, 7).json()["text"] == "7"
    assert [record.getMessage() for record in caplog.records if record.exc_info] == [
        "Lane 0 failed, and goes on with the next batch."
    ] * 3


def test_lanes_that_fail_again_and_again_end_the_service(tmp_path, monkeypatch):
    failing(1_000_000, monkeypatch)
    with serving(settings(tmp_path), lambda _: HeldModel(held=False)) as service:
        assert transcribe(service, 7).json()["error"]["code"] == "model_failed"
        assert service.http.get("/healthz").status_code == 503


def test_a_clock_that_is_set_back_disturbs_nobody(tmp_path, monkeypatch):
    hours = iter(range(10**9, 0, -3600))
    monkeypatch.setattr("time.time", lambda: next(hours))
    with serving(settings(tmp_path), lambda _: HeldModel(held=False)) as service:
        assert [answer.json()["text"] for answer in all_at_once(service, range(8))] == [str(n) for n in range(8)]


def test_a_log_on_a_full_disk_costs_no_request(tmp_path):
    with open("/dev/full", "wb") as full, service_of(WITH_QUICK_MODEL, tmp_path, stderr=full) as (process, port):
        for number in range(3):
            answer = httpx.post(
                f"http://127.0.0.1:{port}/v1/audio/transcriptions",
                content=pcm(number),
                headers={"content-type": "audio/pcm"},
                timeout=300,
            )
            assert answer.json()["text"] == str(number)
        process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0


def test_the_real_model_says_when_there_is_too_little_memory(tiny, monkeypatch):
    def exhausted(*_, **__):
        torch.empty(2**60)

    second = np.random.default_rng(0).normal(scale=0.01, size=16_000).astype(np.float32)
    batch = tiny.collate([second])
    before = tiny.transcribe(batch)
    with monkeypatch.context() as patched:
        patched.setattr(tiny, "encode", exhausted)
        with pytest.raises(MemoryExhausted):
            tiny.transcribe(batch)
    assert tiny.transcribe(batch) == before
