"""The choice of replicas in Ray's own proxy, by `src.fleet.routing`. HAProxy chooses by itself (`haproxy_config`)."""

import pickle
import time
from random import Random
from typing import Any

from ray.serve.request_router import PendingRequest, ReplicaID, RequestRouter, RunningReplica

from src.fleet.load_board import LoadBoard, Sent
from src.fleet.replica_load import ReplicaLoad
from src.fleet.routing import ranked


class QueueRouter(RequestRouter):  # type: ignore[misc] # of a package without types
    """Sends each request to the better of two replicas, as `ranked` says. Ray calls its methods in one event loop."""

    def initialize_state(self, **_: Any) -> None:
        """Set up what this class adds; Ray calls it once, instead of a constructor."""
        self._board: LoadBoard[ReplicaID] = LoadBoard()
        self._sent: dict[str, Sent[ReplicaID]] = {}
        self._last_reports: dict[ReplicaID, Any] = {}
        self._choice = Random()

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """Take the replicas that there are now, and what they have reported."""
        super().update_replicas(replicas)
        now = time.monotonic()
        for each in replicas:
            report = each.routing_stats
            if report and report != self._last_reports.get(each.replica_id):
                self._board.report(each.replica_id, ReplicaLoad.from_report(report), now)
        self._last_reports = {each.replica_id: each.routing_stats for each in replicas}
        self._board.keep(self._last_reports)

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        """Return two replicas, the better one first, each in a list of its own: Ray takes the first that has room."""
        now = time.monotonic()
        if pending_request:  # otherwise Ray would ask again without a pause where both are full
            pending_request.routing_context.should_backoff = True

        def load(replica: RunningReplica) -> ReplicaLoad:
            return self._board.load(replica.replica_id, now)

        return [[each] for each in ranked(candidate_replicas, load, is_session(pending_request), self._choice)]

    def on_request_routed(self, pending_request: PendingRequest, replica_id: ReplicaID, result: Any) -> None:
        """Note that a request is sent to a replica."""
        request_id = pending_request.metadata.internal_request_id
        self._sent[request_id] = self._board.begin(replica_id, is_session(pending_request), time.monotonic())

    def on_request_completed(self, replica_id: ReplicaID, internal_request_id: str) -> None:
        """Note that a request has ended."""
        if sent := self._sent.pop(internal_request_id, None):
            self._board.end(sent)


def is_session(request: PendingRequest | None) -> bool:
    """Return whether a request of Ray's proxy is a WebSocket. Its argument is the pickled scope of the connection."""
    if request is None or not request.args or not isinstance(request.args[0], bytes):
        return False
    scope = pickle.loads(request.args[0])._asgi_scope  # of the proxy in this process
    return bool(scope["type"] == "websocket")
