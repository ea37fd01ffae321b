"""The service with API keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fakes import HeldModel
from keys import KEY, OTHER_KEY, THIRD_KEY
from running_service import Service, serving

from src.engine.model import Model
from src.settings import Settings


@contextmanager
def guarded(tmp_path: Path, model: Model | None = None, **settings: Any) -> Iterator[Service]:
    """The service with three keys, on `model` or on one that answers at once."""
    given = {
        "model_id": "tiny",
        "api_keys": f"{KEY},{OTHER_KEY}, {THIRD_KEY}",
        "log_dir": tmp_path,
        "max_queue_wait_s": 60,
    }
    with serving(Settings(**given | settings), lambda _: model or HeldModel(held=False)) as running:
        yield running


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def address(service: Service) -> str:
    return f"ws://127.0.0.1:{service.port}/v1/realtime"
