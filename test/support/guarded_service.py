"""The service with API keys."""

from contextlib import contextmanager

from fakes import HeldModel
from keys import KEY, OTHER_KEY, THIRD_KEY
from running_service import serving

from src.settings import Settings


@contextmanager
def guarded(tmp_path, model=None, **settings):
    """The service with three keys, on a model that is not held unless one is given."""
    given = {"api_keys": f"{KEY},{OTHER_KEY}, {THIRD_KEY}", "log_dir": tmp_path, "max_queue_wait_s": 60} | settings
    with serving(Settings(model_id="tiny", **given), lambda _: model or HeldModel(held=False)) as running:
        yield running


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def address(service):
    return f"ws://127.0.0.1:{service.port}/v1/realtime"
