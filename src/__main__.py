"""Run the service: `python -m src`."""

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from src.api.dependencies import services_of
from src.api.origins import is_loopback_host
from src.app import create_app
from src.engine.model import Model
from src.engine.nemo_model import NemoModel
from src.memory.process import keep_freed_blocks, limit_malloc_arenas, limit_onednn_caches
from src.metrics.server_log import ServerLogHandler, server_log_path
from src.server.listener import ListenError, authority, listen
from src.server.server import Server, raise_descriptor_limit, server_config
from src.settings import Settings, SettingsError

LOOPBACKS = "127.0.0.1,::1"
"""Addresses of proxies whose forwarded scheme and client address are trusted; uvicorn's default is only the first."""
EXIT_MODEL_FAILED = 70
"""EX_SOFTWARE (sysexits.h): the supervisor starts the service again."""


def main(load: Callable[[Settings], Model] = NemoModel.load) -> int:
    """Serve until a signal comes, and return the exit code.

    It is 0 after an orderly stop, 1 if the settings, the port or the model are unusable, and 70 if the model has failed
    for good, so that a new process may help.

    Args:
        load: loads the model.
    """
    output = ServerLogHandler(sys.stderr)
    logging.basicConfig(format="%(asctime)s %(levelname)-7s %(message)s", level=logging.INFO, handlers=[output])
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # no log line shows them
    try:
        settings = Settings(_env_file=".env")
        listeners = listen(settings.host, settings.port)
    except (SettingsError, ListenError) as error:
        for line in str(error).splitlines():
            logging.error(line)
        return 1
    output.bound(server_log_path(settings.log_dir))

    code = 0

    def stop_with(exit_code: int) -> None:
        nonlocal code
        code = exit_code
        server.should_exit = True

    limit_onednn_caches()
    limit_malloc_arenas()
    keep_freed_blocks()
    raise_descriptor_limit()
    app = create_app(
        settings, load=load, on_failure=partial(stop_with, 1), on_breakdown=partial(stop_with, EXIT_MODEL_FAILED)
    )
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", LOOPBACKS)
    services = services_of(app)
    config = server_config(app, services.message_memory, on_refused=services.note_refusal, forwarded_allow_ips=trusted)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # it warns about each client that sends nonsense
    server = Server(config, services.drain)
    if not settings.keys and not is_loopback_host(settings.host):
        logging.warning("PARAKEET_API_KEYS is not set: whoever reaches port %d can use this service.", settings.port)
    logging.info("Loading %s; listening on http://%s", settings.model_id, authority(settings.host, settings.port))
    try:
        server.run(sockets=listeners)
    except SystemExit:  # uvicorn exits so if the application cannot start; that has logged the reason
        return 1
    return code


def run_and_exit(load: Callable[[Settings], Model] = NemoModel.load) -> NoReturn:
    """Run `main`, and end the process with its code at once: a batch may still be running in the model's thread."""
    code = main(load)
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    run_and_exit()
