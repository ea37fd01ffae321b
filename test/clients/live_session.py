"""One realtime session of a load client that speaks in real time and notes when each text came.

All times are seconds on the session's audio clock: an append is sent when its last sample would have been spoken.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import client
import client_ws
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

TRANSCRIPTION = "conversation.item.input_audio_transcription"
HYPOTHESIS = "item.input_audio_transcription.hypothesis"
"""What a session includes to get hypotheses."""
PATIENCE_S = 20.0
"""A session fails this long after the end of its audio."""


@dataclass(frozen=True)
class Manner:
    """How sessions behave."""

    vad: bool = False
    """Whether the server detects turns; otherwise there is one commit at the end."""
    hypothesis: bool = False
    """Whether they ask for words that may still change."""
    paced: bool = True
    """Whether they speak in real time; otherwise all audio is sent at once."""

    @property
    def update(self) -> str:
        """The message that configures a session. Items have final texts of their own only after one."""
        audio = {"input": {"turn_detection": {"type": "server_vad"} if self.vad else None}}
        session = {"audio": audio} | ({"include": [HYPOTHESIS]} if self.hypothesis else {})
        return json.dumps({"type": "session.update", "session": session})


@dataclass
class HeardItem:
    """What came of one item, and when."""

    shown: list[tuple[float, str]] = field(default_factory=list)
    """The text after each delta."""
    read: list[tuple[float, str]] = field(default_factory=list)
    """The text after each delta or hypothesis, with the hypothesis."""
    ended_s: float | None = None
    """The end of its audio."""
    completed_s: float = 0.0
    transcript: str = ""

    def add_delta(self, at_s: float, delta: str) -> None:
        """Add text to what is shown."""
        self.shown.append((at_s, (self.shown[-1][1] if self.shown else "") + delta))
        self.read.append(self.shown[-1])

    def set_hypothesis(self, at_s: float, text: str) -> None:
        """Replace the words after what is shown."""
        self.read.append((at_s, (self.shown[-1][1] if self.shown else "") + text))


@dataclass(frozen=True)
class LiveResult:
    """The items of one session that have a text, in order."""

    items: tuple[HeardItem, ...]

    @property
    def text(self) -> str:
        """The final texts of all items."""
        return " ".join(item.transcript for item in self.items)


async def listen(upload: client.Upload, url: str, manner: Manner) -> LiveResult:
    """Run one session to its last final text.

    Raises:
        client.Failure: the service reports an error, ends the session, or sends no final text in time.
    """
    # A busy service may take long to open a session; this limits the time.
    options: dict[str, Any] = {"compression": None, "max_size": None, "ping_timeout": None, "open_timeout": None}
    try:
        async with (
            asyncio.timeout(upload.audio_len_s + PATIENCE_S),
            connect(client_ws.address(url), **options) as socket,
        ):
            return await _Listener(socket).run(upload.frames, manner)
    except TimeoutError:
        raise client.Failure(f"A session had no final text {PATIENCE_S:g} s after its audio.") from None
    except (OSError, WebSocketException) as error:
        raise client.Failure(f"A session ended: {error}") from None


class _Listener:
    """An open session, and what was heard so far."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._items: dict[str, HeardItem] = {}
        self._started_s = 0.0

    @property
    def _now_s(self) -> float:
        return time.perf_counter() - self._started_s

    async def run(self, frames: Sequence[str], manner: Manner) -> LiveResult:
        """Speak, read to the end, and return what was heard."""
        await self._socket.send(manner.update)
        self._started_s = time.perf_counter()
        speaking = asyncio.create_task(self._speak(frames, client_ws.REALTIME_PIECE_S if manner.paced else 0.0))
        try:
            while (event := json.loads(await self._socket.recv()))["type"] != "response.completed":
                self._take(event)
            committed_s = await speaking
        finally:
            speaking.cancel()
        for item in self._items.values():
            item.ended_s = committed_s if item.ended_s is None else item.ended_s
        return LiveResult(tuple(item for item in self._items.values() if item.transcript))

    async def _speak(self, frames: Sequence[str], period_s: float) -> float:
        """Send the audio, ask for the text, and return when."""
        for number, frame in enumerate(frames, start=1):
            await asyncio.sleep(max(0.0, number * period_s - self._now_s))
            await self._socket.send(frame)
        await self._socket.send(client_ws.CREATE)
        return self._now_s

    def _take(self, event: dict[str, Any]) -> None:
        """Note what an event says about an item.

        Raises:
            client.Failure: it is an error.
        """
        match event["type"].removeprefix(TRANSCRIPTION):
            case ".delta":
                self._item(event).add_delta(self._now_s, event["delta"])
            case ".hypothesis":
                self._item(event).set_hypothesis(self._now_s, event["text"])
            case ".completed":
                self._item(event).completed_s = self._now_s
                self._item(event).transcript = event["transcript"]
            case "input_audio_buffer.speech_stopped":
                self._item(event).ended_s = event["audio_end_ms"] / 1000
            case "error" | ".failed":
                raise client.Failure(event["error"]["message"])

    def _item(self, event: dict[str, Any]) -> HeardItem:
        return self._items.setdefault(event["item_id"], HeardItem())
