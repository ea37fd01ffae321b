"""A replica: the application in a process of Ray's, on one model and one GPU or a part of it."""

import dataclasses
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.types import ASGIApp

from src.api.dependencies import services_of
from src.app import create_app
from src.engine.model import Model
from src.fleet.draining import SessionsEnd
from src.fleet.environment import uses_haproxy
from src.fleet.processes import open_ports
from src.memory.process import keep_freed_blocks, limit_malloc_arenas, limit_onednn_caches
from src.metrics.server_log import ServerLogHandler, server_log_path
from src.settings import Settings


class Replica:
    """What Ray Serve runs as a deployment (`src.fleet.deployment`). Its methods run in the replica's event loop.

    Args:
        settings: the service's, the same for all replicas.
        load: loads the model.
        on_each_node: how many replicas share the memory of a machine.
        name: returns the replica's name, for the logs; called in the replica's process.
    """

    def __init__(
        self, settings: Settings, load: Callable[[Settings], Model], on_each_node: int, name: Callable[[], str]
    ) -> None:
        self._settings = settings.model_copy(update={"replica_name": name()})
        self._load = load
        self._on_each_node = on_each_node
        self._app: FastAPI | None = None

    async def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the application once its model is warm.

        Raises:
            ModelUnavailable: the model cannot be loaded; the message says why, and Ray passes it on.
        """
        _log_to_file(self._settings)
        limit_onednn_caches()
        limit_malloc_arenas()
        keep_freed_blocks()
        app = create_app(
            self._settings, load=self._load, waits_for_model=True, names_answers=False, sharing=self._on_each_node
        )
        stack = AsyncExitStack()
        # Ray would say of an application's failure to start only that it has failed.
        await stack.enter_async_context(app.router.lifespan_context(app))
        app.router.lifespan_context = partial(_ending, stack)
        self._app = app
        if not uses_haproxy(os.environ):  # the server in a connection's scope is Ray's proxy, not this replica
            return app
        watched = SessionsEnd(app, services_of(app).sessions.drain, _listens)
        stack.callback(watched.stop)
        return watched

    async def check_health(self) -> None:
        """Return if the model serves.

        Raises:
            ModelFailed, ModelNotReady, ShuttingDown: it does not. Ray replaces the replica then.
        """
        if self._app:
            services_of(self._app).scheduler.check_ready()

    async def record_routing_stats(self) -> dict[str, float]:
        """Return the load as plain numbers, for `src.fleet.request_router`."""
        return self._report()

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Return the load as plain numbers, for an autoscaling policy of Ray's."""
        return self._report()

    def _report(self) -> dict[str, float]:
        return dataclasses.asdict(services_of(self._app).load()) if self._app else {}


@asynccontextmanager
async def _ending(stack: AsyncExitStack, _: FastAPI) -> AsyncIterator[None]:
    """Close `stack` at the end of the block: the application has been started before."""
    async with stack:
        yield


def _listens(port: int) -> bool:
    return any(each.port == port for each in open_ports([os.getpid()]))


def _log_to_file(settings: Settings) -> None:
    """Append what is logged to the service's log, which the replicas of a machine share."""
    settings.log_dir.mkdir(parents=True, exist_ok=True)
    path = server_log_path(settings.log_dir)
    handler = ServerLogHandler(path.open("a", buffering=1))
    handler.bound(path)
    handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)-7s {settings.replica_name} %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
