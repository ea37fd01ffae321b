"""Run the service: `python -m src`."""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import socket
from typing import NoReturn

import uvicorn

from src.app import create_app
from src.asr.model import Model, NemoModel
from src.scheduling.scheduler import Scheduler
from src.settings import Settings, SettingsError

SLOW_READER_S = 5
"""How long, after the grace period, an answer that is ready may take to be read before its connection is cut."""


class Server(uvicorn.Server):
    """uvicorn's server with an orderly end: on SIGTERM or SIGINT, requests are finished before the port is closed."""

    def __init__(self, config: uvicorn.Config, scheduler: Scheduler, grace_s: float) -> None:
        super().__init__(config)
        self._scheduler = scheduler
        self._grace_s = grace_s

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals as uvicorn does, but do not raise them again at the end: a stop on request exits with 0."""
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """Let the scheduler drain while the port is still open, so that new requests read 503 and not a closed port."""
        await self._scheduler.stop(self._grace_s)
        await super().shutdown(sockets)


def main(load: Callable[[Settings], Model] = NemoModel.load) -> int:
    """Serve until a signal comes; return the exit code, 1 if the settings, the port or the model cannot be used.

    `load` makes the model.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", level=logging.INFO, stream=sys.stderr)
    try:
        settings = Settings(_env_file=".env")
    except SettingsError as error:
        for line in str(error).splitlines():
            logging.error(line)
        return 1

    failed = False

    def give_up() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    app = create_app(settings, load=load, on_failure=give_up)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # src.api.middleware writes one that knows the request id
        timeout_graceful_shutdown=SLOW_READER_S,
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = Server(config, app.state.scheduler, settings.shutdown_grace_s)
    logging.info("Loading %s; listening on http://%s:%d", settings.model_id, settings.host, settings.port)
    try:
        server.run()
    except SystemExit:  # uvicorn's way out when it cannot have the port; it has said why
        return 1
    return 1 if failed else 0


def run_and_exit(load: Callable[[Settings], Model] = NemoModel.load) -> NoReturn:
    """Run `main` and end the process with its code, at once: a batch may still be running in the model's thread."""
    code = main(load)
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    run_and_exit()
