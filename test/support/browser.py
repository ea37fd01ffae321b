"""The page in a real browser: a visit, what the page sends and asks for, a microphone, and a line that can be cut."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from chromium import JS, chromium
from media import clip, wav
from numpy.typing import NDArray
from playwright.async_api import Browser, ConsoleMessage, Page, WebSocket, async_playwright

TIMEOUT_MS = 120_000
"""A busy machine takes its time; a test that waits for nothing fails by this."""
RATE = 16_000
INSECURE = "page-host"
"""A name of this machine that browsers take for no safe origin. Without a dot, as the service refuses foreign names."""
FLAGS = (
    "--use-fake-device-for-media-stream",
    f"--host-resolver-rules=MAP {INSECURE} 127.0.0.1",
    "--autoplay-policy=no-user-gesture-required",
    "--no-sandbox",  # tests may run as root, and visit nothing but the service
)


class Microphone:
    """The microphone of the browser: it plays a file from its start whenever a page begins to record, then silence."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.speaks(1.0)

    def speaks(self, *parts: str | float) -> None:
        """Say parts from the next recording on: names of clips, or seconds of silence."""
        self.path.write_bytes(wav(np.concatenate([_samples(part) for part in parts])))


def _samples(part: str | float) -> NDArray[np.float32]:
    return clip(part) if isinstance(part, str) else np.zeros(round(part * RATE), np.float32)


@asynccontextmanager
async def launched(microphone: Microphone) -> AsyncIterator[Browser]:
    """Run Chromium with a microphone."""
    found = chromium()
    assert found
    flags = [*FLAGS, *found.flags, f"--use-file-for-fake-audio-capture={microphone.path}%noloop"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=found.path, args=flags, chromium_sandbox=False, env={**os.environ, **found.env}
        )
        yield browser
        await browser.close()


@dataclass
class Socket:
    """A WebSocket of the page: its address, and the events that went over it."""

    url: str
    sent: list[dict[str, Any]] = field(default_factory=list)
    received: list[dict[str, Any]] = field(default_factory=list)

    @property
    def audio(self) -> bytes:
        """All audio that the page has sent: 16-bit samples."""
        appends = [event for event in self.sent if event["type"] == "input_audio_buffer.append"]
        return b"".join(base64.b64decode(event["audio"]) for event in appends)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The events of a type that were received."""
        return [event for event in self.received if event["type"] == kind]

    @property
    def turns(self) -> list[tuple[int, int]]:
        """Where turns begin and end whose text is final: bytes of the audio."""
        starts = {
            event["item_id"]: event["audio_start_ms"] for event in self.of_kind("input_audio_buffer.speech_started")
        }
        ends = {event["item_id"]: event["audio_end_ms"] for event in self.of_kind("input_audio_buffer.speech_stopped")}
        final = self.of_kind("conversation.item.input_audio_transcription.completed")
        items = [event["item_id"] for event in final if event["transcript"]]
        return [(starts[item] * RATE // 1000 * 2, ends[item] * RATE // 1000 * 2) for item in items]

    def listen(self, socket: WebSocket) -> None:
        """Record what goes over a socket."""
        socket.on("framesent", lambda text: self.sent.append(json.loads(text)))
        socket.on("framereceived", lambda text: self.received.append(json.loads(text)))


class Visit:
    """A page that is open, and what it has done since."""

    def __init__(self, page: Page, origin: str) -> None:
        self.page = page
        self.origin = origin
        self.requests: list[tuple[str, str]] = []
        """Method and address of each."""
        self.sockets: list[Socket] = []
        self._complaints: list[str] = []
        self._allowed: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self._complaints.append(f"uncaught: {error}"))
        page.on("request", lambda request: self.requests.append((request.method, request.url)))
        page.on("websocket", self._note_socket)

    def allow(self, *parts: str) -> None:
        """Expect complaints of the browser that have one of these in them, as it reports every answer 4xx and 5xx."""
        self._allowed += parts

    def check(self) -> None:
        """Check that the browser had nothing to complain of, and that the page asked nobody but the service."""
        unexpected = [each for each in self._complaints if not any(part in each for part in self._allowed)]
        assert unexpected == []
        addresses = [address for _, address in self.requests] + [socket.url for socket in self.sockets]
        origins = {urlsplit(address)[1] for address in addresses if urlsplit(address)[0] not in ("blob", "data")}
        assert origins <= {urlsplit(self.origin)[1]}

    async def lines(self) -> list[str]:
        """The captions, line by line."""
        return await self.page.get_by_role("log", name="Captions").locator("p").all_inner_texts()

    async def has_lines(self, number: int) -> None:
        """Return once so many captions are final."""
        for line in range(number):
            await self.page.locator("#spoken p").nth(line).wait_for(state="attached")

    async def problem(self) -> str:
        """What the page says is wrong, once it does."""
        box = self.page.locator("#problem")
        await box.wait_for()
        return await box.inner_text()

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(f"{message.type}: {message.text}")

    def _note_socket(self, socket: WebSocket) -> None:
        self.sockets.append(Socket(socket.url))
        self.sockets[-1].listen(socket)


async def serious_findings(page: Page) -> list[str]:
    """Return what axe-core finds that keeps people from using the page."""
    await page.evaluate((JS / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found = await page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{each['id']}: {[node['html'][:200] for node in each['nodes']]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


class Line:
    """A line to a port of this machine, which can be cut and mended."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._is_cut = False
        self.port = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Line"]:
        """Lay the line for the block."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        """End all connections, and refuse further ones."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self._is_cut:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(back)
        await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort() if reader.at_eof() else writer.close()
