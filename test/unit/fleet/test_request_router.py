"""The router in Ray's own proxy: it reads reports, counts what it sends, and tells sessions from uploads."""

import pickle
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("needs_ray", reason="Ray is not installed: bash scripts/fleet.sh --setup")

from ray.serve._private.common import StreamingHTTPRequest
from ray.serve.request_router import PendingRequest, RequestRouter

from src.fleet.request_router import QueueRouter, is_session


@dataclass
class Replica:
    """What the router sees of a replica."""

    replica_id: str
    routing_stats: dict[str, Any] = field(default_factory=dict)


def request(kind="http", number="1"):
    scope = {"type": kind, "path": "/v1/realtime"}
    argument = pickle.dumps(StreamingHTTPRequest(scope, proxy_actor_name="proxy"))
    return PendingRequest([argument], {}, SimpleNamespace(internal_request_id=number), future=None)


@pytest.fixture
def router(monkeypatch):
    """A router without the machinery of Ray's."""
    monkeypatch.setattr(RequestRouter, "update_replicas", lambda self, replicas: None)
    monkeypatch.setattr(QueueRouter, "__abstractmethods__", frozenset())
    made = QueueRouter.__new__(QueueRouter)
    made.initialize_state()
    return made


async def first(router, replicas, pending):
    chosen = (await router.choose_replicas(replicas, pending))[0][0].replica_id
    assert pending.routing_context.should_backoff
    return chosen


def report(**load):
    return {"audio_s_per_s": 100.0, "max_sessions": 256, "ready": True, **load}


def test_a_websocket_is_a_session():
    assert is_session(request("websocket"))
    assert not is_session(request("http"))
    assert not is_session(None)


async def test_an_upload_goes_where_the_queue_is_shorter_whatever_sessions_are_there(router):
    replicas = [Replica("a", report(sessions=20)), Replica("b", report(queued_audio_s=500.0))]
    router.update_replicas(replicas)
    assert await first(router, replicas, request()) == "a"
    assert await first(router, replicas, request("websocket")) == "b"


async def test_what_was_sent_counts_until_it_has_ended(router):
    replicas = [Replica("a", report()), Replica("b", report(queued_audio_s=5.0))]
    router.update_replicas(replicas)
    assert await first(router, replicas, request()) == "a"
    for number in "12345":
        router.on_request_routed(request(number=number), "a", None)
    router.update_replicas(replicas)  # with the same reports, as others have changed
    assert await first(router, replicas, request()) == "b"
    for number in "12345":
        router.on_request_completed("a", number)
    router.on_request_completed("a", "unknown")
    assert await first(router, replicas, request()) == "a"


async def test_a_replica_that_is_not_ready_gets_nothing_while_another_is(router):
    replicas = [Replica("a", report(ready=False)), Replica("b", report(queued_audio_s=500.0))]
    router.update_replicas(replicas)
    assert await first(router, replicas, request()) == "b"
