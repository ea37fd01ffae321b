"""The fleet: Ray Serve with two replicas behind HAProxy, started once, in a network of its own.

The model answers at once, with a word for each half second of a clip, so that an answer of another clip would be seen.
"""

import asyncio
import importlib.util
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import aiohttp
import httpx
import numpy as np
import openai
import pytest
from fleet_process import EVERY_S, Fleet, fleet_of, scale, session
from half_upload import ROUTE, HalfUpload
from instant_model import transcript, words_in
from keys import KEY, OTHER_KEY
from media import SAMPLE_RATE, clip, encode, pcm16, resampled, wav
from namespaces import loopback_only, why_no_namespace
from realtime_client import COMPLETED, Client
from service_process import ROOT

from src.fleet.processes import fleet_processes
from src.metrics.load import Load

LIMIT = 12
"""Requests of a key at a time, at each replica."""
HEADERS = {"authorization": f"Bearer {KEY}"}


def speech(seconds: float) -> np.ndarray:
    """Speech of a length: without any, there is no text."""
    return np.resize(clip("long-30s"), round(seconds * SAMPLE_RATE))


def text_of(seconds: float) -> str:
    return transcript(words_in(seconds, EVERY_S), EVERY_S).text


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed: bash scripts/fleet.sh --setup")
    if reason := why_no_namespace():
        pytest.skip(reason)
    settings = {
        "PARAKEET_REPLICAS": "2",
        "PARAKEET_API_KEYS": f"{KEY},{OTHER_KEY}",
        "PARAKEET_MAX_CONCURRENT_PER_KEY": str(LIMIT),
        "PARAKEET_MAX_QUEUE_WAIT_S": "60",
        "PARAKEET_UPLOAD_TIMEOUT_S": "600",
    }
    with loopback_only(), fleet_of(tmp_path_factory.mktemp("fleet"), 8000, **settings) as running:
        running.printed("Ctrl-C stops it")
        yield running


@pytest.mark.slow
@pytest.mark.timeout(900)  # Ray and its processes take two minutes to start on a machine that is very busy
def test_a_fleet_from_start_to_stop(fleet, subtests):
    """One test, as all parts need the same Ray, and some change it for the next."""
    for part in PARTS:
        with subtests.test(part.__name__):
            part(fleet)


def its_start_tells_the_address_the_replicas_and_the_ports(fleet):
    assert fleet.printed("Serving at (.*);")[1] == fleet.url
    assert len(fleet.replicas) == 2
    assert re.search(r"\b8000 \(haproxy\)", fleet.printed("Open to this machine: (.*)")[1])
    assert re.search(r"\b8404 \(haproxy\).* 9101 \(haproxy\)", fleet.printed("Open to this machine: (.*)")[1])
    assert len(replica_ports(fleet)) == 2
    own = os.getpriority(os.PRIO_PROCESS, os.getpid())
    assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in fleet.replicas.values()] == [own, own]
    assert not any(KEY in line or OTHER_KEY in line for line in fleet.lines)


def an_upload_has_its_text_and_one_request_id(fleet):
    answer = httpx.post(fleet.url + ROUTE, files={"file": ("a.wav", wav(speech(2.2)))}, headers=HEADERS, timeout=None)
    assert (answer.status_code, answer.json()["text"]) == (200, text_of(2.2))
    assert len(answer.headers.get_list("x-request-id")) == 1
    named = httpx.get(fleet.url + "/v1/models", headers=HEADERS | {"x-request-id": "mine-1"}, timeout=None)
    assert named.headers.get_list("x-request-id") == ["mine-1"]


def errors_are_those_of_the_service(fleet):
    without_key = httpx.post(fleet.url + ROUTE, timeout=None)
    assert (without_key.status_code, without_key.json()["error"]["code"]) == (401, "invalid_api_key")
    unknown = httpx.get(fleet.url + "/nothing", headers=HEADERS, timeout=None)
    assert (unknown.status_code, set(unknown.json()["error"])) == (404, {"message", "type", "param", "code"})


def a_stream_of_events_comes_through(fleet):
    fields = {"stream": "true"}
    with httpx.stream(
        "POST",
        fleet.url + ROUTE,
        files={"file": ("a.wav", wav(speech(25)))},
        data=fields,
        headers=HEADERS,
        timeout=None,
    ) as answer:
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: {")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events[-1]["type"] == "transcript.text.done"
    assert "".join(each["delta"] for each in events[:-1]) == events[-1]["text"]
    assert len(events) > 1


def the_sdk_transcribes_and_streams(fleet):
    with openai.OpenAI(base_url=f"{fleet.url}/v1", api_key=KEY, max_retries=0) as client:
        audio = ("a.wav", wav(speech(3.1)))
        assert client.audio.transcriptions.create(model="whisper-1", file=audio).text == text_of(3.1)
        events = list(client.audio.transcriptions.create(model="gpt-4o-transcribe", file=audio, stream=True))
        assert events[-1].text == text_of(3.1)


def a_session_has_the_text_of_its_turn(fleet):
    with session(fleet.port) as client:
        client.append(pcm16(speech(2.0)))
        client.commit()
        assert client.until(COMPLETED)[-1]["transcript"] == text_of(2.0)


def a_hundred_mixed_requests_have_their_texts_at_both_replicas(fleet):
    before = records_by_replica(fleet)
    lengths = random.Random(5).choices([1.1, 1.6, 2.3, 3.4, 4.2, 7.7, 12.9], k=100)

    async def one(number: int, seconds: float, turn: asyncio.Semaphore, http: aiohttp.ClientSession) -> None:
        kind = number % 4
        form = aiohttp.FormData()
        if kind == 3:
            form.add_field(
                "file", encode(resampled(speech(seconds), 48_000), "ogg", "libopus", rate=48_000), filename="a.ogg"
            )
        else:
            form.add_field("file", wav(speech(seconds)), filename="a.wav")
        form.add_field("response_format", ("json", "verbose_json", "text", "json")[kind])
        async with turn, http.post(fleet.url + ROUTE, data=form, headers=HEADERS) as answer:
            text = (await answer.text()).strip() if kind == 2 else (await answer.json())["text"]
            assert (answer.status, text) == (200, text_of(seconds))

    async def all_of_them() -> None:
        turn = asyncio.Semaphore(LIMIT // 2)  # of one key, at replicas that count for themselves
        async with aiohttp.ClientSession() as http:
            await asyncio.gather(*(one(number, each, turn, http) for number, each in enumerate(lengths)))

    asyncio.run(all_of_them())
    while (served := records_by_replica(fleet) - before).total() < 100:  # the log is written after the answer
        time.sleep(0.05)
    assert set(served) == set(fleet.replicas)
    assert min(served.values()) > 5


def headers_by_which_clients_could_command_ray_do_nothing(fleet):
    headers = HEADERS | {"x-request-timeout-seconds": "0.001", "x-request-disconnect-disabled": "?1"}
    answer = httpx.post(fleet.url + ROUTE, files={"file": ("a.wav", wav(speech(2.2)))}, headers=headers, timeout=None)
    assert (answer.status_code, answer.json()["text"]) == (200, text_of(2.2))


def a_key_minted_at_one_replica_is_valid_at_the_other(fleet):
    settings = {"session": {"type": "transcription"}}
    for minting, using in (replica_ports(fleet), replica_ports(fleet)[::-1]):
        url = f"http://127.0.0.1:{minting}/v1/realtime/client_secrets"
        minted = httpx.post(url, json=settings, headers=HEADERS, timeout=None).json()["value"]
        with session(using, minted) as client:
            client.append(
                pcm16(resampled(speech(2.0), 24_000))
            )  # the rate of OpenAI's protocol, as the key's settings say
            client.commit()
            assert client.until(COMPLETED)[-1]["transcript"] == text_of(2.0)


def a_client_at_its_limit_gets_the_services_429(fleet):
    with ExitStack() as stack:
        statuses = []
        for _ in range(2 * LIMIT):
            stack.callback(HalfUpload(fleet.port, OTHER_KEY, bytes(200), "audio/wav").leave)
        while 429 not in statuses:
            headers = {"authorization": f"Bearer {OTHER_KEY}"}
            refused = httpx.post(fleet.url + ROUTE, content=b"x", headers=headers, timeout=None)
            statuses.append(refused.status_code)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(refused.headers["retry-after"]) >= 1
    assert set(statuses) <= {400, 429}  # until all of them are known to the replicas


def a_replica_that_is_killed_is_replaced_and_the_other_serves_on(fleet):
    name, pid = next(iter(fleet.replicas.items()))
    said = len(fleet.lines)
    os.kill(pid, signal.SIGKILL)
    statuses: Counter[int] = Counter()
    while len(fleet.replicas) < 2 or name in fleet.replicas:
        try:
            answer = httpx.post(
                fleet.url + ROUTE, files={"file": ("a.wav", wav(speech(1.6)))}, headers=HEADERS, timeout=None
            )
        except httpx.TransportError:  # a request that the replica had
            statuses[0] += 1
            continue
        time.sleep(0.05)  # the new replica needs the cores, too
        statuses[answer.status_code] += 1
        text_or_error = answer.json()["text"] if answer.is_success else answer.json()["error"]["code"]
        assert text_or_error in (text_of(1.6), "server_gone", "no_server")
    fleet.printed("is healthy", after=said)
    assert statuses[200] > 0.9 * statuses.total()


def a_replica_that_goes_ends_its_sessions_with_1001_after_their_text_and_lets_uploads_finish(fleet):
    said = len(fleet.lines)
    with ExitStack() as stack:
        clients: list[Client] = []
        while not all((at_each := told_by_replica(fleet, lambda load: load.sessions, len(clients))).values()):
            # HAProxy sends them to both once it has seen that the replica that is new is healthy.
            clients.append(stack.enter_context(session(fleet.port)))
        for client in clients:
            client.append(pcm16(speech(2.0)))  # and no commit: the end is one
        uploads = [HalfUpload(fleet.port, KEY, wav(speech(1.6)), "audio/wav") for _ in range(4)]
        assert min(told_by_replica(fleet, lambda load: load.uploads, len(uploads)).values()) > 0
        scale(fleet, 1)
        while not any(client.has_ended for client in clients):
            time.sleep(0.05)
        answers = [upload.finish() for upload in uploads]  # the replica is there until they have their texts
        assert [(status, json.loads(body)["text"]) for status, body in answers] == [(200, text_of(1.6))] * len(uploads)
        gone = fleet.printed(f"Replica ({'|'.join(at_each)}) is gone", after=said)[1]
        assert gone not in fleet.replicas
        while len(ended := [client for client in clients if client.has_ended]) < at_each[gone]:
            time.sleep(0.05)
        assert len(ended) == at_each[gone]
        for client in ended:
            events, close = client.end()
            assert close.code == 1001
            assert [each["transcript"] for each in events if each["type"] == COMPLETED] == [text_of(2.0)]
        for client in set(clients) - set(ended):
            client.commit()
            assert client.until(COMPLETED)[-1]["transcript"] == text_of(2.0)
    assert len(fleet.replicas) == 1


def a_report_covers_the_logs_of_all_replicas(fleet):
    program = [sys.executable, "-m", "src.metrics", "--json", "--file", fleet.log_dir]
    told = json.loads(subprocess.run(program, cwd=ROOT, capture_output=True, check=True, text=True).stdout)
    served = records_by_replica(fleet)
    assert len(served) >= 2  # of which one was killed and one has gone
    assert told["windows"][-1]["requests"] >= served.total()


def the_end_lets_sessions_finish_and_leaves_nothing_behind(fleet):
    folder = fleet.folder
    with session(fleet.port) as client:
        client.append(pcm16(speech(2.0)))
        fleet.process.send_signal(signal.SIGINT)
        events, close = client.end()
        assert close.code == 1001
        assert [each["transcript"] for each in events if each["type"] == COMPLETED] == [text_of(2.0)]
    assert fleet.process.wait() == 0
    assert fleet_processes(folder) == []
    assert not os.path.exists(folder)
    assert not any(KEY in line for line in fleet.lines)


PARTS = (
    its_start_tells_the_address_the_replicas_and_the_ports,
    an_upload_has_its_text_and_one_request_id,
    errors_are_those_of_the_service,
    a_stream_of_events_comes_through,
    the_sdk_transcribes_and_streams,
    a_session_has_the_text_of_its_turn,
    a_hundred_mixed_requests_have_their_texts_at_both_replicas,
    headers_by_which_clients_could_command_ray_do_nothing,
    a_key_minted_at_one_replica_is_valid_at_the_other,
    a_client_at_its_limit_gets_the_services_429,
    a_replica_that_is_killed_is_replaced_and_the_other_serves_on,
    a_replica_that_goes_ends_its_sessions_with_1001_after_their_text_and_lets_uploads_finish,
    a_report_covers_the_logs_of_all_replicas,
    the_end_lets_sessions_finish_and_leaves_nothing_behind,
)


def replica_ports(fleet: Fleet) -> list[int]:
    """Return the replicas' own ports, as the fleet has told them."""
    told = " ".join(line for line in fleet.lines if line.startswith("Open to "))
    return [int(port) for port in re.findall(r"\b(30\d{3}) \(ServeRepli", told)]


def told_by_replica(fleet: Fleet, number: Callable[[Load], int], total: int) -> dict[str, int]:
    """Wait until the replicas have told so many of something in all, and return how many each has."""
    while sum((at_each := fleet.at_each(number)).values()) != total:
        time.sleep(0.05)
    return at_each


def records_by_replica(fleet: Fleet) -> Counter[str]:
    """Count the uploads in the metrics log by the replica that served them."""
    lines = fleet.metrics.read_text().splitlines()
    return Counter(record["replica"] for record in map(json.loads, lines) if record["route"] == ROUTE)
