"""What is lost when a replica or a client goes, and what each replica counts for itself: how services answer, in words.

Uploads in flight have sent half of their body. `FLEET` is what is asked of a fleet, and `ANY` of any service.
"""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
import client
import httpx
from fleet_process import Fleet, scale, session, update
from half_upload import ROUTE, HalfUpload
from keys import KEY, KEYS, OTHER_KEY
from realtime_client import COMPLETED, Client, speech
from websockets.exceptions import InvalidStatus

HEADERS = {"authorization": f"Bearer {KEY}"}
LIMIT = 3
"""Requests of a key at a time, at each replica."""
IN_FLIGHT = 8
CLIP = client.CLIPS / "piper-joe-1.flac"
SETTLED_S = 6.0
"""After so long the replicas have told how many requests and sessions they have."""
DRAINED_S = 60.0
"""The longest wait for the sessions of a replica that goes."""
AT_A_TIME = 4
"""Requests at a time during an update."""


@dataclass(frozen=True)
class Faulty:
    """A service with the keys `KEYS`, of which each may have `LIMIT` requests at a time."""

    port: int
    metrics: Path
    """Its metrics log."""
    fleet: Fleet | None
    """The fleet that it is, if it is one."""

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


def faults(service: Faulty) -> dict[str, str]:
    """Return what a service does, by what happens to it."""
    asked = ANY | FLEET if service.fleet else ANY
    return {name: ask(service) for name, ask in asked.items()}


def client_leaves(service: Faulty) -> str:
    """Return the status in the metrics log of an upload whose client leaves."""
    lines = _lines(service.metrics)
    upload = _half_upload(service, KEY)
    time.sleep(1.0)
    upload.leave()
    deadline = time.monotonic() + SETTLED_S
    while time.monotonic() < deadline:
        for record in map(json.loads, _lines(service.metrics)[len(lines) :]):
            if record["route"] == ROUTE:
                return f"logged as {record['code']}"
        time.sleep(0.1)
    return "not logged"


def key_at_its_limit(service: Faulty) -> str:
    """Return how many of many uploads of one key are taken at a time."""
    uploads = [_half_upload(service, OTHER_KEY) for _ in range(4 * LIMIT)]
    time.sleep(1.0)
    answers = Counter(_answer(upload) for upload in uploads)
    return _told(answers)


def temporary_keys(service: Faulty) -> str:
    """Return how many of 40 sessions with one temporary key are refused."""
    settings = {"session": {"type": "transcription"}}
    minted = httpx.post(f"{service.url}/v1/realtime/client_secrets", json=settings, headers=HEADERS, timeout=60).json()
    refused = 0
    for _ in range(40):
        try:
            with session(service.port, minted["value"]):
                pass
        except InvalidStatus as error:
            refused += error.response.status_code == HTTPStatus.UNAUTHORIZED
    return f"{refused} of 40 refused"


def replica_is_killed(service: Faulty) -> str:
    """Return what becomes of uploads in flight at two replicas when one of them is killed."""
    fleet = _fleet(service)
    uploads = [_half_upload(service, KEYS[number % len(KEYS)]) for number in range(IN_FLIGHT)]
    time.sleep(SETTLED_S)
    said = len(fleet.lines)
    name, pid = next(iter(fleet.replicas.items()))
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.5)
    answers = Counter(_answer(upload) for upload in uploads)
    while name in fleet.replicas or len(fleet.replicas) < 2:
        fleet.printed("is healthy", after=said)
        time.sleep(0.1)
    return _told(answers)


def updated(service: Faulty) -> str:
    """Return how many requests are lost while all replicas are replaced."""
    fleet = _fleet(service)
    before = set(fleet.replicas)
    return asyncio.run(_lost_while(service, lambda: update(fleet), lambda: _is_replaced(fleet, before)))


async def _lost_while(service: Faulty, change: Callable[[], None], is_done: Callable[[], bool]) -> str:
    """Send requests, `AT_A_TIME`, from before a change until it is done, and return how many had no text."""
    answers: Counter[str] = Counter()
    ended = asyncio.Event()
    body = CLIP.read_bytes()

    async def send(number: int) -> None:
        headers = {"authorization": f"Bearer {KEYS[number % len(KEYS)]}", "content-type": "audio/flac"}
        async with aiohttp.ClientSession() as http:
            while not ended.is_set():
                try:
                    async with http.post(service.url + ROUTE, data=body, headers=headers) as answer:
                        await answer.read()
                        answers[str(answer.status)] += 1
                except aiohttp.ClientError:
                    answers["disconnect"] += 1

    async def watch() -> None:
        await asyncio.to_thread(change)
        while not is_done():  # noqa: ASYNC110 # the fleet's lines are read by a thread
            await asyncio.sleep(0.1)
        ended.set()

    await asyncio.gather(watch(), *map(send, range(AT_A_TIME)))
    lost = {status: count for status, count in answers.items() if status != "200"}
    return f"{sum(lost.values())} of {answers.total()} lost" + (f": {_told(Counter(lost))}" if lost else "")


def _is_replaced(fleet: Fleet, before: set[str]) -> bool:
    return len(fleet.replicas) == len(before) and not before & set(fleet.replicas)


def drained(service: Faulty) -> str:
    """Return how the sessions end of a replica that goes."""
    fleet = _fleet(service)
    said = len(fleet.lines)
    with ExitStack() as stack:
        clients: list[Client] = []
        at_each = dict.fromkeys(fleet.replicas, 0)
        while not all(at_each.values()):
            clients += [stack.enter_context(session(service.port, key)) for key in KEYS]
            time.sleep(SETTLED_S)
            at_each = fleet.at_each(lambda load: load.sessions)
        for each in clients:
            each.append(speech(CLIP.name))
        scale(fleet, 1)
        gone = fleet.printed(f"Replica ({'|'.join(at_each)}) is gone", after=said)[1]
        deadline = time.monotonic() + DRAINED_S
        while sum(each.has_ended for each in clients) < at_each[gone] and time.monotonic() < deadline:
            time.sleep(0.1)
        ends = Counter(_end(each) for each in clients if each.has_ended)
    scale(fleet, 2)
    while len(fleet.replicas) < 2:
        time.sleep(0.1)
    return _told(ends)


def _half_upload(service: Faulty, key: str) -> HalfUpload:
    return HalfUpload(service.port, key, CLIP.read_bytes(), "audio/flac")


def _answer(upload: HalfUpload) -> str:
    """Let an upload finish, and return the status and the code of the error, or that the connection was closed."""
    status, body = upload.finish()
    if status in (0, 200):
        return "200" if status else "disconnect"
    try:
        return f"{status} {json.loads(body)['error']['code']}"
    except (ValueError, LookupError):
        return f"{status} in plain text"


def _end(gone: Client) -> str:
    events, close = gone.end()
    text = "after its text" if any(each["type"] == COMPLETED for each in events) else "without its text"
    return f"{close.code} {text}"


def _fleet(service: Faulty) -> Fleet:
    assert service.fleet
    return service.fleet


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def _told(answers: Counter[str]) -> str:
    return ", ".join(f"{count} {answer}" for answer, count in sorted(answers.items()))


ANY: dict[str, Callable[[Faulty], str]] = {
    "client leaves": client_leaves,
    "key at its limit": key_at_its_limit,
    "temporary keys": temporary_keys,
}
FLEET: dict[str, Callable[[Faulty], str]] = {
    "replica is killed": replica_is_killed,
    "replica drains": drained,
    "update": updated,
}
