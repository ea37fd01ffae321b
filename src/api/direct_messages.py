"""An extension of ASGI: short text messages of a WebSocket go to the application without a queue and a task between.

Most messages of a realtime session are appends of audio, dozens of them in a second, and each takes microseconds.
"""

from collections.abc import Callable, MutableMapping
from typing import Any

EXTENSION = "parakeet.direct_messages"
"""Its name in the scope of a connection whose server knows it."""
Taker = Callable[[bytes], bool]
"""Gets a text message as UTF-8, which may be invalid. It returns True if it has processed the message, and False if the
message is to be queued. It gets none while earlier ones are queued."""


def take_messages(scope: MutableMapping[str, Any], taker: Taker | None) -> None:
    """Pass later messages of a connection to `taker`; None: to nobody any more. Other servers than ours ignore it."""
    extension = scope.get("extensions", {}).get(EXTENSION)
    if extension:
        extension["set"](taker)
