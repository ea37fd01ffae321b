"""Run the service: `python -m src`."""

import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from src.app import create_app
from src.asr.model import Model, NemoModel
from src.server import Server, server_config
from src.settings import Settings, SettingsError


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
    config = server_config(app, host=settings.host, port=settings.port)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = Server(config, app.state.drain)
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
