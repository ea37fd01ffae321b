"""`POST /v1/audio/transcriptions` on the bundled checkpoint: every way to send audio, and every invalid one."""

import base64
import gzip
import io
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import media
import numpy as np
import pytest
import soundfile
from fakes import HeldModel, clip
from media import CLIPS, resampled
from openai_schema import TranscriptionDiarized
from running_service import Service, serving, until

from src.errors import ModelUnavailable
from src.settings import Settings

ROUTE = "/v1/audio/transcriptions"
CLIP = "piper-joe-1.flac"
TEXT = "The black bicycle is under the tree."


def flac(name: str = CLIP) -> bytes:
    return (CLIPS / name).read_bytes()


def pcm16(samples: np.ndarray) -> bytes:
    return (samples * 32767).astype("<i2").tobytes()


def error(response: httpx.Response) -> dict:
    """The error of a body that is exactly OpenAI's."""
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return body["error"]


def read_head(connection: socket.socket) -> str:
    """The status line and headers of the answer, however the network cuts it."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    return received.decode()


def test_a_multipart_file_gives_its_text(service: Service):
    response = service.upload(flac())
    assert (response.status_code, response.json()["text"]) == (200, TEXT)
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("content_type", ["audio/flac", "application/octet-stream", "text/plain", "audio/wav", ""])
def test_any_other_body_is_the_audio_whatever_its_type_says(service: Service, content_type):
    assert service.post(flac(), content_type).json()["text"] == TEXT


@pytest.mark.parametrize("name", ["clip.mp3", "clip.txt", "", "../../etc/passwd", "a\u2028b.wav"])
def test_the_name_of_a_file_is_ignored(service: Service, name):
    assert service.upload(flac(), name or "x").json()["text"] == TEXT


@pytest.mark.parametrize(
    "content_type", ["audio/pcm", "audio/l16", "Audio/L16; rate=16000", "application/octet-stream"]
)
def test_headerless_pcm_is_16_khz_mono(service: Service, content_type):
    samples, _ = soundfile.read(CLIPS / CLIP)
    assert service.post(pcm16(samples), content_type).json()["text"] == TEXT


@pytest.mark.parametrize(
    ("content_type", "query"),
    [("audio/pcm;rate=48000;channels=2", {}), ("audio/pcm", {"rate": 48000, "channels": 2})],
)
def test_headerless_pcm_of_another_format_says_so_in_its_type_or_in_the_query(service: Service, content_type, query):
    samples, _ = soundfile.read(CLIPS / CLIP)
    stereo = np.repeat(np.repeat(samples, 3)[:, None], 2, axis=1)
    assert service.post(pcm16(stereo), content_type, **query).json()["text"] == TEXT


def test_a_multipart_part_may_be_headerless_pcm(service: Service):
    samples, _ = soundfile.read(CLIPS / CLIP)
    files = {"file": ("clip", pcm16(samples), "audio/pcm;rate=16000")}
    assert service.http.post(ROUTE, files=files).json()["text"] == TEXT


@pytest.mark.parametrize(
    ("content_type", "subtype", "rate"),
    [
        *(
            ("audio/x-l16", "PCM_16", 16_000),
            ("audio/raw", "PCM_16", 16_000),
            ("audio/L16; rate=null", "PCM_16", 16_000),
        ),
        *(("audio/basic", "ULAW", 8_000), ("audio/PCMU;rate=8000", "ULAW", 8_000), ("audio/x-mulaw", "ULAW", 8_000)),
        *(("audio/pcma", "ALAW", 8_000), ("audio/PCMA;rate=16000;channels=2", "ALAW", 16_000)),
    ],
)
@pytest.mark.parametrize("as_part", [False, True])
def test_the_type_tells_headerless_audio(service: Service, content_type, subtype, rate, as_part):
    written = {"rate": rate, "channels": 2 if "channels=2" in content_type else 1, "subtype": subtype}
    samples = resampled(media.clip("piper-joe-1"), rate)
    body, file = (media.wav(samples, **written, container=container) for container in ("RAW", "WAV"))
    part = {"file": ("clip", body, content_type)}
    answer = service.http.post(ROUTE, files=part) if as_part else service.post(body, content_type)
    assert answer.json()["text"] == service.upload(file).json()["text"] != ""


@pytest.mark.parametrize("content_type", ["audio/basic", "audio/raw", "audio/pcmu"])
def test_a_media_file_is_one_also_under_the_type_of_headerless_audio(service: Service, content_type):
    au = media.wav(media.clip("piper-joe-1"), container="AU")
    assert [service.post(body, content_type).json()["text"] for body in (au, flac())] == [TEXT, TEXT]


def multipart(*parts: tuple[str, bytes], end: bytes = b"--b--\r\n", preamble: bytes = b"") -> bytes:
    """A form of parts, each the parameters of its disposition and its content."""
    heads = (f"--b\r\nContent-Disposition: form-data; {parameters}\r\n\r\n".encode() for parameters, _ in parts)
    return preamble + b"".join(head + content + b"\r\n" for head, (_, content) in zip(heads, parts, strict=True)) + end


FILE = 'name="file"; filename="a.flac"'
VTT = ('name="response_format"', b"vtt")


@pytest.mark.parametrize(
    "body",
    [
        multipart((FILE, flac()), VTT, preamble=b"This is a multi-part message in MIME format.\r\n"),
        multipart((FILE, flac()), VTT, preamble=b"\r\n"),
        multipart(("name=\"file\"; filename*=UTF-8''na%C3%AFve.flac", flac()), VTT),
        multipart(VTT, (FILE, flac()), end=b""),
        multipart((FILE, flac()), VTT, end=b""),
        multipart(('name="file"; filename=""', b""), (FILE, flac()), VTT),
        multipart((FILE, flac()), ('name="file"; filename=""', b""), VTT),
        multipart(('name="file"\r\nContent-Type: audio/flac', flac()), VTT),
        multipart(('name="file[]"; filename="a.flac"', flac()), VTT),
    ],
)
def test_a_form_is_read_as_other_clients_write_it(service: Service, body):
    answer = service.http.post(ROUTE, content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 200, answer.text
    assert answer.text.startswith("WEBVTT")
    assert TEXT in answer.text


def test_a_form_whose_files_are_all_empty_has_an_empty_file(service: Service):
    body = multipart(('name="file"; filename=""', b""), ('name="file"; filename="a"', b""))
    answer = service.http.post(ROUTE, content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert (answer.status_code, error(answer)["code"]) == (400, "empty_audio")


@pytest.mark.parametrize("name", ["timestamp_granularities[0]", "timestamp_granularities%5B%5D"])
def test_a_list_of_a_form_may_be_numbered_or_escaped(service: Service, name):
    answer = service.upload(flac(), response_format="verbose_json", **{name: "word"})
    assert [word["word"] for word in answer.json()["words"]] == TEXT.rstrip(".").split()
    wrong = service.upload(flac(), response_format="verbose_json", **{name: "nonsense"})
    assert (wrong.status_code, error(wrong)["param"]) == (400, "timestamp_granularities")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip", "x-unheard-of"])
@pytest.mark.parametrize("path", [ROUTE, "/v1/realtime/client_secrets", "/v1/realtime/transcription_sessions"])
def test_a_compressed_body_is_rejected_by_every_route_that_has_one(service: Service, path, encoding):
    headers = {"content-encoding": encoding, "content-type": "audio/flac"}
    answer = service.http.post(path, content=gzip.compress(flac()), headers=headers)
    assert (answer.status_code, error(answer)["code"]) == (415, "unsupported_encoding")
    assert encoding in error(answer)["message"]
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("encoding", ["identity", "", "Identity", "utf-8"])
def test_a_body_that_is_not_compressed_may_say_so(service: Service, encoding):
    headers = {"content-encoding": encoding, "content-type": "audio/flac"}
    assert service.http.post(ROUTE, content=flac(), headers=headers).json()["text"] == TEXT


LARGE = 3 * 1024 * 1024
"""Larger than what is parsed on the event loop."""


@pytest.mark.parametrize(
    "kind", ["form", "json", "json with another data", "json with a data URL", "raw", "a prompt of a form"]
)
def test_a_large_body_is_read_like_a_small_one(service: Service, kind):
    samples, rate = soundfile.read(CLIPS / CLIP, dtype="int16")
    wav = io.BytesIO()
    soundfile.write(wav, np.concatenate([samples, np.zeros(LARGE // 2, np.int16)]), rate, format="WAV")
    encoded = base64.encodebytes(wav.getvalue()).decode()
    answer = {
        "form": lambda: service.upload(wav.getvalue(), language="null"),
        "json": lambda: service.http.post(ROUTE, json={"input_audio": {"data": encoded}, "prompt": "x" * LARGE}),
        "json with another data": lambda: service.http.post(
            ROUTE,
            json={"metadata": {"data": "x"}, "input_audio": {"format": "wav", "data": encoded.replace("\n", " ")}},
        ),
        "json with a data URL": lambda: service.http.post(
            ROUTE, json={"input_audio": {"data": f"data:audio/wav;base64,{encoded}"}, "language": None}
        ),
        "raw": lambda: service.post(wav.getvalue(), "audio/wav", language="eng"),
        "a prompt of a form": lambda: service.upload(flac(), prompt="bicycle, " * (LARGE // 9), unheard_of="x" * LARGE),
    }[kind]()
    assert answer.status_code == 200, answer.text
    assert answer.json()["text"] == TEXT


@pytest.mark.parametrize("name", ["language", "keywords", "timestamp_granularities[]", "chunking_strategy"])
def test_a_field_that_is_too_long_is_named(service: Service, name):
    answer = service.upload(flac(), **{name: "x" * LARGE})
    assert (answer.status_code, error(answer)["param"]) == (400, name.removesuffix("[]"))
    assert len(answer.content) < 500


@pytest.mark.parametrize("text", ["\\n", "é"])
def test_json_that_is_all_text_is_rejected(service: Service, text):
    body = f'{{"input_audio": {{"data": "QUJD"}}, "text": "{text * 5_000_000}"}}'
    answer = service.http.post(ROUTE, content=body.encode(), headers={"content-type": "application/json"})
    assert (answer.status_code, error(answer)["code"]) == (400, "invalid_value")


def test_unknown_fields_are_ignored(service: Service):
    assert service.upload(flac(), model="whisper-1", favourite_colour="green", prompt="").json()["text"] == TEXT


def test_a_chunked_body_without_a_length_is_read(service: Service):
    chunks = (flac()[start : start + 1000] for start in range(0, len(flac()), 1000))
    assert service.http.post(ROUTE, content=chunks, headers={"content-type": "audio/flac"}).json()["text"] == TEXT


@pytest.mark.parametrize("name", ["silence-2s.flac", "noise-hum-2s.flac"])
def test_the_text_of_audio_without_speech_is_empty(service: Service, name):
    assert service.upload(flac(name)).json()["text"] == ""


@pytest.mark.parametrize("samples", [1, 159, 160, 1279, 1280, 1281, 2400])
def test_the_shortest_clips_give_empty_text(service: Service, samples):
    noise = np.random.default_rng(samples).normal(scale=0.05, size=samples)
    assert service.post(pcm16(noise), "audio/pcm").json()["text"] == ""


BAD = [
    pytest.param(lambda s: s.http.post(ROUTE, data={"model": "x"}, files={"other": b"x"}), 400, "missing_file", id="x"),
    pytest.param(lambda s: s.http.post(ROUTE), 400, "missing_file", id="no body"),
    pytest.param(lambda s: s.http.post(ROUTE, json=None, data={"a": "b"}), 400, "invalid_audio", id="a form"),
    pytest.param(lambda s: s.http.post(ROUTE, files={"file": (None, "text")}), 400, "missing_file", id="a text field"),
    pytest.param(lambda s: s.upload(b""), 400, "empty_audio", id="empty file"),
    pytest.param(lambda s: s.post(b"", "audio/wav"), 400, "empty_audio", id="empty body"),
    pytest.param(lambda s: s.upload(flac()[:42]), 400, "invalid_audio", id="a header alone"),
    pytest.param(lambda s: s.upload(b"hello, world" * 100), 400, "invalid_audio", id="a text"),
    pytest.param(lambda s: s.upload(bytes(range(256)) * 50), 400, "invalid_audio", id="bytes"),
    pytest.param(lambda s: s.post(b"x", "multipart/form-data"), 400, "invalid_value", id="no boundary"),
    pytest.param(
        lambda s: s.post(b"--a\r\nContent-Disposition: form-data; na", "multipart/form-data; boundary=a"),
        400,
        "missing_file",
        id="a torn form",
    ),
    pytest.param(lambda s: s.upload(flac(), priority="urgent"), 400, "invalid_value", id="priority"),
    pytest.param(lambda s: s.post(b"ab" * 9, "audio/pcm;rate=1"), 400, "invalid_value", id="rate"),
    pytest.param(lambda s: s.post(b"ab" * 9, "audio/pcm", rate="16k"), 400, "invalid_value", id="rate is no number"),
    pytest.param(lambda s: s.post(b"ab" * 9, "audio/pcm;channels=99"), 400, "invalid_value", id="channels"),
    pytest.param(lambda s: s.http.get("/v1/nothing"), 404, "not_found", id="unknown path"),
    pytest.param(lambda s: s.http.get(ROUTE), 405, "method_not_allowed", id="wrong method"),
]


@pytest.mark.parametrize(("send", "status", "code"), BAD)
def test_bad_input_gets_its_error_and_the_next_request_its_text(service: Service, send, status, code):
    response = send(service)
    assert (response.status_code, error(response)["code"]) == (status, code)
    assert error(response)["type"] == "invalid_request_error"
    assert response.headers["x-request-id"]
    assert service.upload(flac()).json()["text"] == TEXT


def test_a_file_cut_short_is_transcribed_as_far_as_it_goes(service: Service, transcripts):
    whole = transcripts["long-30s.flac"]
    text = service.upload(flac("long-30s.flac")[: len(flac("long-30s.flac")) // 2]).json()["text"]
    assert len(text) > 100
    assert whole.startswith(text[:80])


@pytest.fixture
def small(tiny, tmp_path):
    settings = Settings(model_id="tiny", max_audio_seconds=3, max_upload_mb=0.25, log_dir=tmp_path)
    with serving(settings, lambda _: tiny) as running:
        yield running


def test_audio_beyond_the_limit_is_rejected_with_the_limit_and_its_setting(small: Service):
    response = small.upload(flac("rhvoice-slt-1.flac"))
    assert (response.status_code, error(response)["code"]) == (413, "audio_too_long")
    assert "3 s" in error(response)["message"]
    assert "PARAKEET_MAX_AUDIO_SECONDS" in error(response)["message"]
    assert small.upload(flac()).json()["text"] == TEXT


def test_a_small_file_of_an_hour_is_rejected(small: Service, tmp_path):
    soundfile.write(tmp_path / "hour.flac", np.zeros(16_000 * 3600, dtype="int16"), 16_000)
    hour = (tmp_path / "hour.flac").read_bytes()
    assert len(hour) < 250_000
    assert error(small.upload(hour))["code"] == "audio_too_long"


@pytest.mark.parametrize("kind", ["declared", "chunked", "multipart"])
def test_a_body_beyond_the_limit_is_rejected_while_it_is_read(small: Service, kind):
    body = b"\0" * 300_000
    if kind == "multipart":
        response = small.upload(body)
    else:
        response = small.post(body if kind == "declared" else iter([body[:200_000], body[200_000:]]), "audio/pcm")
    assert (response.status_code, error(response)["code"]) == (413, "upload_too_large")
    assert "0.25 MB" in error(response)["message"]
    assert "PARAKEET_MAX_UPLOAD_MB" in error(response)["message"]


def test_a_declared_length_beyond_the_limit_is_rejected_before_the_body(small: Service):
    with socket.create_connection(("127.0.0.1", small.port)) as connection:
        connection.sendall(f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n".encode())
        assert read_head(connection).startswith("HTTP/1.1 413")


def test_every_response_carries_an_id_and_the_time_it_took(service: Service):
    response = service.upload(flac())
    assert response.headers["x-request-id"].startswith("req_")
    assert int(response.headers["openai-processing-ms"]) >= 0
    assert service.http.get("/healthz").headers["x-request-id"] != response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("given", "kept"), [("order-66/part.2", True), ("x" * 129, False), ("a b", False), ("<script>", False)]
)
def test_a_callers_request_id_is_kept_if_it_is_valid(service: Service, given, kept):
    answer = service.http.get("/healthz", headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) == kept


def test_probes_answer_while_the_model_loads_and_requests_are_asked_to_come_back(tiny, tmp_path):
    loading = threading.Event()

    def load(_: Settings):
        loading.wait()
        return tiny

    with serving(Settings(log_dir=tmp_path), load, wait=False) as starting:
        try:
            assert starting.http.get("/healthz").status_code == 200
            probe = starting.http.get("/readyz")
            assert (probe.status_code, probe.json()) == (503, {"ready": False})
            response = starting.upload(flac())
            assert (response.status_code, error(response)["code"]) == (503, "model_not_ready")
            assert int(response.headers["retry-after"]) >= 1
        finally:
            loading.set()
        until(lambda: starting.scheduler.ready)
        probe = starting.http.get("/readyz")
        assert (probe.status_code, probe.json()) == (200, {"ready": True})
        assert starting.upload(flac()).json()["text"] == TEXT


def test_a_model_that_cannot_be_loaded_leaves_requests_with_an_error_until_the_process_ends(tmp_path):
    def load(_: Settings):
        raise ModelUnavailable("It is not there.")

    with serving(Settings(log_dir=tmp_path), load, wait=False) as failing:
        assert error(failing.upload(flac()))["code"] == "model_not_ready"


@pytest.fixture
def held(tmp_path):
    """A service with one slot, whose model runs when told to."""
    model = HeldModel()
    settings = Settings(microbatch_max_batch=1, queue_max_factor=1, lanes=1, max_queue_wait_s=30, log_dir=tmp_path)
    with serving(settings, lambda _: model) as running:
        yield running, model
        model.release_all()


def send_clip(service: Service, number: int) -> httpx.Response:
    return service.post(pcm16(clip(number)), "audio/pcm")


def test_a_full_queue_rejects_before_the_body_is_read(held):
    service, model = held
    with ThreadPoolExecutor() as others:
        answers = [others.submit(send_clip, service, 1)]
        model.started.acquire()
        answers.append(others.submit(send_clip, service, 2))
        until(lambda: service.scheduler.waiting == 1)
        with socket.create_connection(("127.0.0.1", service.port)) as connection:
            connection.sendall(f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode())
            head = read_head(connection)
        assert head.startswith("HTTP/1.1 429")
        assert "retry-after: 30" in head.lower()
        model.release_all()
        assert [answer.result().json()["text"] for answer in answers] == ["1", "2"]


def test_a_client_that_leaves_while_waiting_frees_its_slot_and_never_reaches_the_model(held):
    service, model = held
    with ThreadPoolExecutor() as others:
        first = others.submit(send_clip, service, 1)
        model.started.acquire()
        with socket.create_connection(("127.0.0.1", service.port)) as leaving:
            body = pcm16(clip(2))
            head = f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Type: audio/pcm\r\nContent-Length: {len(body)}\r\n\r\n"
            leaving.sendall(head.encode() + body)
            until(lambda: service.scheduler.waiting == 1)
        until(lambda: service.scheduler.waiting == 0)
        third = others.submit(send_clip, service, 3)
        until(lambda: service.scheduler.waiting == 1)
        model.release_all()
        assert (first.result().json()["text"], third.result().json()["text"]) == ("1", "3")
    assert model.clips == ["1", "3"]


def test_a_client_that_leaves_during_its_upload_frees_its_slot(held):
    service, model = held
    model.release_all()
    with socket.create_connection(("127.0.0.1", service.port)) as leaving:
        leaving.sendall(f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nxx".encode())
        until(lambda: service.scheduler.preparing == 1)
    until(lambda: service.scheduler.preparing == 0)
    assert send_clip(service, 2).json()["text"] == "2"


def test_a_clip_on_which_the_model_fails_gets_a_500_without_details(held):
    service, model = held
    model.release_all()
    response = service.post(pcm16(clip(1, poison=True)), "audio/pcm")
    assert (response.status_code, error(response)["code"]) == (500, "transcription_failed")
    assert "poison" not in response.text
    assert send_clip(service, 2).json()["text"] == "2"


def test_every_request_leaves_one_line_in_the_metrics_log_whatever_its_outcome(tiny, tmp_path):
    settings = Settings(model_id="tiny", log_dir=tmp_path)
    with serving(settings, lambda _: tiny) as running:
        running.http.get("/healthz")
        good = running.upload(flac())
        running.upload(b"not audio")
        running.post()
        running.http.get("/v1/nothing")
        running.http.get(ROUTE)
        with socket.create_connection(("127.0.0.1", running.port)) as leaving:
            leaving.sendall(f"POST {ROUTE} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nxx".encode())
            until(lambda: running.scheduler.preparing == 1)
        until(lambda: running.scheduler.preparing == 0)
    lines = [json.loads(line) for line in (tmp_path / "metrics" / "metrics.log").read_text().splitlines()]
    assert {(line["code"], line["error"]) for line in lines} == {
        (200, None),
        (400, "invalid_audio"),
        (400, "missing_file"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (499, "client_closed"),
    }
    assert len(lines) == 6
    ok = next(line for line in lines if line["code"] == 200)
    assert ok["request_id"] == good.headers["x-request-id"]
    assert ok["audio_len_s"] == pytest.approx(2.75, abs=0.01)
    assert (ok["status"], ok["route"], ok["model"], ok["batch_size"]) == ("ok", ROUTE, "tiny", 1)
    assert ok["lane"] in (0, 1)
    parts = ok["duration_preprocess_s"], ok["queue_wait_s"], ok["duration_inference_s"]
    assert 0 < sum(parts) <= ok["duration_total_s"]


@pytest.mark.parametrize("name", ["Systran/faster-whisper-large-v3", "Systran%2Ffaster-whisper-large-v3", "gpt-4o"])
def test_a_model_name_is_found_if_it_is_accepted_and_only_then(service: Service, name):
    described, listed = service.http.get(f"/v1/models/{name}"), service.http.get("/v1/models").json()["data"]
    taken = service.upload(flac(), model=name.replace("%2F", "/"))
    if name == "gpt-4o":
        assert [error(answer)["code"] for answer in (described, taken)] == ["model_not_found"] * 2
    else:
        assert (described.json()["id"], taken.json()["text"]) == ("Systran/faster-whisper-large-v3", TEXT)
    assert name not in [model["id"] for model in listed]


def test_the_ai_sdk_7_gets_what_it_asks_the_diarizing_model_for(service):
    """Its call, replayed: `diarized_json` is its default for this model (@ai-sdk/openai 4)."""
    fields = {"model": "gpt-4o-transcribe-diarize", "response_format": "diarized_json", "chunking_strategy": "auto"}
    answer = service.upload(flac(), "audio.flac", **fields)
    body = TranscriptionDiarized.model_validate_json(answer.raise_for_status().content)
    assert (body.text, [(segment.text, segment.speaker) for segment in body.segments]) == (TEXT, [(TEXT, "A")])
