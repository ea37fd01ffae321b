"""The real service on a real port, in a thread of the test's process."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from src.api.dependencies import Services, services_of
from src.api.session_slots import SessionSlots
from src.app import create_app
from src.engine.model import Model
from src.scheduling.scheduler import Scheduler
from src.server.server import Server, server_config
from src.settings import Settings

PATIENCE = {"shutdown_grace_s": 300.0, "decode_timeout_s": 200.0}
"""Limits that work may reach only because the machine is busy with something else."""


@dataclass(frozen=True)
class Service:
    """A running service: a client, and its services and server, which a test may inspect."""

    http: httpx.Client
    port: int
    services: Services
    server: Server

    @property
    def scheduler(self) -> Scheduler:
        """The service's scheduler."""
        return self.services.scheduler

    @property
    def sessions(self) -> SessionSlots:
        """The open realtime sessions."""
        return self.services.sessions

    @property
    def log_dir(self) -> Path:
        """The folder of the metrics log."""
        return self.services.settings.log_dir

    def stop(self) -> None:
        """Stop the service as SIGTERM does, without waiting for its end."""
        self.server.should_exit = True

    def post(self, body: bytes | Iterator[bytes] = b"", content_type: str = "", **query: Any) -> httpx.Response:
        """Send a raw body."""
        headers = {"content-type": content_type} if content_type else {}
        return self.http.post("/v1/audio/transcriptions", content=body, headers=headers, params=query)

    def upload(self, data: bytes, name: str = "upload", **fields: Any) -> httpx.Response:
        """Send a multipart form with `data` as its file."""
        return self.http.post("/v1/audio/transcriptions", files={"file": (name, data)}, data=fields)


def until(condition: Callable[[], object]) -> None:
    """Return once `condition` holds of a service in another thread; the test's time limit bounds the wait."""
    while not condition():
        time.sleep(0.001)


@contextmanager
def serving(
    settings: Settings, load: Callable[[Settings], Model], *, wait: bool = True, **options: Any
) -> Iterator[Service]:
    """Run the app under uvicorn in a thread, on a port that the kernel chooses. Unless `wait` is off, it is ready.

    What `settings` do not set has the default, but for `PATIENCE`. `options` are uvicorn's.
    """
    patience = {name: value for name, value in PATIENCE.items() if name not in settings.model_fields_set}
    settings = settings.model_copy(update=patience)
    app = create_app(settings, load=load)
    services = services_of(app)
    config = server_config(app, services.message_memory, on_refused=services.note_refusal, port=0, **options)
    server = Server(config, services.drain)
    opened = threading.Event()

    async def serve() -> None:
        if not config.loaded:
            config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        opened.set()
        await server.main_loop()
        await server.shutdown()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert opened.wait(300)
        port = server.servers[0].sockets[0].getsockname()[1]
        if wait:
            until(lambda: services.scheduler.ready or not thread.is_alive())
            assert thread.is_alive()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=None) as client:  # a test has its own limit
            yield Service(client, port, services, server)
    finally:
        server.should_exit = True
        thread.join()
