"""Decoded audio keeps to its part of the memory: uploads wait for room, or get 429."""

import threading
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from fakes import HeldModel
from media import pcm16, wav
from running_service import Service, serving, until

from src.memory.plan import AUDIO_BYTES_PER_S, MIB
from src.settings import Settings


def tone(seconds: float) -> np.ndarray:
    return np.sin(np.arange(round(seconds * 16_000)) / 9).astype(np.float32) / 4


@pytest.fixture
def held(tmp_path) -> Iterator[tuple[Service, HeldModel]]:
    """A service whose uploads have room for 110 s of audio, on a model that is held."""
    model = HeldModel()
    room_mb = 2 * 110 * AUDIO_BYTES_PER_S / MIB
    settings = Settings(model_id="tiny", log_dir=tmp_path, max_audio_mb=room_mb, max_queue_wait_s=0.3)
    with serving(settings, lambda _: model) as service:
        try:
            yield service, model
        finally:
            model.release_all()


@pytest.fixture
def full(held) -> Iterator[tuple[Service, HeldModel]]:
    """The same while the model has 80 s of it."""
    service, model = held
    answers: list[httpx.Response] = []
    first = threading.Thread(target=lambda: answers.append(service.post(pcm16(tone(80)), "audio/pcm")))
    first.start()
    model.started.acquire()
    yield service, model
    model.release_all()
    first.join()
    assert [answer.status_code for answer in answers] == [200]


@pytest.mark.parametrize("kind", ["pcm", "wav", "flac"])
def test_an_upload_without_room_for_its_audio_gets_429(full, kind):
    """Also a file whose bytes do not tell how long it is: 100 s of silence are 1 kB."""
    service, model = full
    uploads = {
        "pcm": (pcm16(tone(60)), "audio/pcm"),
        "wav": (wav(tone(60)), "audio/wav"),
        "flac": (wav(np.zeros(1_600_000), container="FLAC"), "audio/flac"),
    }
    refused = service.post(*uploads[kind])
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
    assert "memory" in refused.json()["error"]["message"]
    assert int(refused.headers["retry-after"]) >= 1
    model.release_all()
    until(lambda: service.scheduler.admitted == 0)
    assert service.post(*uploads[kind]).status_code == 200


def test_an_upload_waits_for_room(tmp_path):
    model = HeldModel()
    room_mb = 2 * 110 * AUDIO_BYTES_PER_S / MIB
    settings = Settings(model_id="tiny", log_dir=tmp_path, max_audio_mb=room_mb, max_queue_wait_s=60)
    with serving(settings, lambda _: model) as service:
        try:
            answers: list[httpx.Response] = []

            def post() -> None:
                answers.append(service.post(pcm16(tone(60)), "audio/pcm"))

            posting = [threading.Thread(target=post) for _ in range(5)]
            for each in posting:
                each.start()
            model.started.acquire()
            until(lambda: service.scheduler.admitted == 5)
            assert service.scheduler.waiting == 0, "the others are not decoded yet"
            model.release_all()
            for each in posting:
                each.join()
            assert [answer.status_code for answer in answers] == [200] * 5
        finally:
            model.release_all()


def test_audio_beyond_all_the_room_is_taken_where_it_is_alone(held):
    service, model = held
    model.release_all()
    assert service.post(wav(tone(500), container="FLAC"), "audio/flac").status_code == 200
    assert service.post(pcm16(tone(500)), "audio/pcm").status_code == 200


def test_a_broken_file_gives_its_room_back(held):
    service, model = held
    model.release_all()
    for _ in range(3):
        assert service.post(b"ID3" + bytes(500_000), "audio/mpeg").status_code == 400
    assert service.post(pcm16(tone(100)), "audio/pcm").status_code == 200
