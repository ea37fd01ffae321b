"""Many realtime sessions in real time from one process, so cheap that a busy server is what is measured.

Two hundred sessions in appends of 20 ms are 10,000 messages a second. So each message is made once, as a WebSocket
frame with a mask of zeros (RFC 6455, 5.2), which is one mask among others to a server, and is sent with one call.
Events are read and counted. The first session to get an error ends the run.
"""

import base64
import json
import os
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

RATE = 24_000
"""Sample rate in Hz of OpenAI's clients."""
PATH = "/v1/realtime?intent=transcription"
PATIENCE_S = 60.0
UPDATED = "session.updated"
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
"""Opcodes (RFC 6455, 5.2)."""


class SessionLost(Exception):
    """A session cannot go on. The message is one sentence."""


@dataclass(frozen=True)
class Script:
    """What a session sends, as frames: its configuration, and audio, from the beginning again after its end."""

    update: bytes
    appends: Sequence[bytes]
    append_s: float
    """Seconds of audio in one append."""


@dataclass(frozen=True)
class Report:
    """What came of the sessions of a process."""

    appends: int
    late: int
    """Appends sent later than the next one was due."""
    latest_s: float
    """The longest that an append was sent after its time."""
    answered_s: float
    """The longest that the server took, after the last append, to answer a message behind it."""
    events: dict[str, int]
    """Events of the server by type."""


# -- frames ------------------------------------------------------------------------------------------------------------


def script_of(pcm16: bytes, append_s: float, session: dict[str, Any]) -> Script:
    """Return the script of sessions with the configuration `session` that send mono PCM16 at `RATE`.

    A rest of the audio that does not fill an append is left out.
    """
    size = 2 * round(append_s * RATE)
    pieces = [pcm16[start : start + size] for start in range(0, len(pcm16) - size + 1, size)]
    return Script(frame({"type": "session.update", "session": session}), tuple(map(_append, pieces)), append_s)


def _append(pcm16: bytes) -> bytes:
    return frame({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm16).decode("ascii")})


def frame(event: dict[str, Any]) -> bytes:
    """Return a client event as a text frame."""
    return _masked(TEXT, json.dumps(event).encode())


def _masked(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 1 << 16:
        length = bytes([0x80 | 126]) + size.to_bytes(2)
    else:
        length = bytes([0x80 | 127]) + size.to_bytes(8)
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


def take_frames(received: bytearray) -> Iterator[tuple[int, bytes]]:
    """Take the whole frames of a server out of what was received; yield opcode and payload of each."""
    while len(received) >= 2:
        start, size = 2, received[1]
        if size >= 126:
            start = 4 if size == 126 else 10
            size = int.from_bytes(received[2:start])
        if len(received) < start + size:
            return
        opcode, payload = received[0] & 0x0F, bytes(received[start : start + size])
        del received[: start + size]
        yield opcode, payload


# -- sessions ----------------------------------------------------------------------------------------------------------


class PacedSession:
    """One session on a socket that does not block.

    Raises:
        SessionLost: it cannot be opened.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        try:
            self.socket = socket.create_connection((parts.hostname, parts.port or 80), PATIENCE_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._received = bytearray()
            self._shake_hands(parts.netloc)
        except OSError as error:
            raise SessionLost(f"A session could not be opened: {error}") from None
        self.socket.setblocking(False)
        self.events: Counter[str] = Counter()

    def _shake_hands(self, host: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode("ascii")
        head = {
            "Host": host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            "User-Agent": "OpenAI/Python",  # the server takes its clients to send 24 kHz
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        self.socket.sendall(f"GET {PATH} HTTP/1.1\r\n{lines}\r\n".encode())
        while b"\r\n\r\n" not in self._received:
            data = self.socket.recv(65536)
            if not data:
                raise SessionLost("The server closed a session before it was open.")
            self._received += data
        answer, _, self._received = self._received.partition(b"\r\n\r\n")
        if b" 101 " not in answer[:16]:
            raise SessionLost(f"A session was refused: {answer.splitlines()[0].decode(errors='replace')}")

    def send(self, data: bytes) -> None:
        """Send a frame.

        Raises:
            SessionLost: the server has left too much unread, or has gone.
        """
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise SessionLost(f"A session ended: {error}") from None
        if sent < len(data):
            raise SessionLost("The server did not read as fast as the audio came.")

    def read(self) -> None:
        """Read and count the events that have come.

        Raises:
            SessionLost: the server reports an error, or has closed the session.
        """
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            raise SessionLost(f"A session ended: {error}") from None
        if not data:
            raise SessionLost("The server closed a session.")
        self._received += data
        for opcode, payload in take_frames(self._received):
            self._handle(opcode, payload)

    def _handle(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.send(_masked(PONG, payload))
        elif opcode == CLOSE:
            raise SessionLost(f"The server closed a session: {payload[2:].decode(errors='replace')}")
        elif opcode == TEXT:
            event = json.loads(payload)
            self.events[event["type"]] += 1
            if "error" in event:  # an error event, or an item that failed
                raise SessionLost(f"The server reported an error: {event['error']['message']}")


class PacedSessions:
    """Some of `count` sessions, in one thread: those whose numbers are given.

    A session's audio begins at its own place of the script, and its appends come at its own time within an append.
    """

    def __init__(self, url: str, script: Script, numbers: Sequence[int], count: int) -> None:
        self._script = script
        self._sessions = [PacedSession(url) for _ in numbers]
        self._offsets = [number * len(script.appends) // count for number in numbers]
        self._phases_s = [number / count * script.append_s for number in numbers]
        self._selector = selectors.DefaultSelector()
        for session in self._sessions:
            self._selector.register(session.socket, selectors.EVENT_READ, session)

    def configure(self) -> float:
        """Send each session its configuration, await the answers, and return the time that they took in seconds."""
        started_s = time.perf_counter()
        expected = [session.events[UPDATED] + 1 for session in self._sessions]
        for session in self._sessions:
            session.send(self._script.update)
        while [session.events[UPDATED] for session in self._sessions] != expected:
            if time.perf_counter() > started_s + PATIENCE_S:
                raise SessionLost(f"The server did not answer within {PATIENCE_S:g} s.")
            self._read(0.1)
        return time.perf_counter() - started_s

    def speak(self, start_s: float, seconds: float) -> Report:
        """Send audio from `start_s` (`time.perf_counter`) on, in real time, and return what came of it."""
        each, appends = round(seconds / self._script.append_s), self._script.appends
        late, latest_s = 0, 0.0
        for number in range(each):
            begin_s = start_s + (number + 1) * self._script.append_s  # an append is sent when its audio is over
            for session, offset, phase_s in zip(self._sessions, self._offsets, self._phases_s, strict=True):
                late_s = self._read_until(begin_s + phase_s)
                late += late_s > self._script.append_s
                latest_s = max(latest_s, late_s)
                session.send(appends[(offset + number) % len(appends)])
            self._read(0.0)
        answered_s = self.configure()
        events: Counter[str] = sum((session.events for session in self._sessions), Counter())
        return Report(each * len(self._sessions), late, latest_s, answered_s, dict(events))

    def _read_until(self, due_s: float) -> float:
        """Read events until a time, and return how much later it is."""
        while (left_s := due_s - time.perf_counter()) > 0:
            self._read(left_s)
        return -left_s

    def _read(self, wait_s: float) -> None:
        for key, _ in self._selector.select(wait_s):
            key.data.read()


# -- processes ---------------------------------------------------------------------------------------------------------


class Crowd:
    """Open sessions in processes of their own; made by `crowd_of`."""

    def __init__(self, pipes: Sequence[Connection]) -> None:
        self._pipes = pipes

    def speak(self, start_s: float, seconds: float) -> None:
        """Let all sessions speak from `start_s` (`time.perf_counter`) on, for so many seconds."""
        for pipe in self._pipes:
            pipe.send((start_s, seconds))

    def reports(self) -> list[Report]:
        """Wait until they have spoken, and return the report of each process.

        Raises:
            SessionLost: a session could not go on.
        """
        return [_received(pipe) for pipe in self._pipes]


@contextmanager
def crowd_of(sessions: int, url: str, script: Script, processes: int = 1) -> Iterator[Crowd]:
    """Open so many sessions at the server at `url` until the block ends.

    Raises:
        SessionLost: one cannot be opened.
    """
    context = get_context("spawn")
    pipes, running = [], []
    try:
        for number in range(processes):
            ours, theirs = context.Pipe()
            numbers = range(number, sessions, processes)
            process = context.Process(target=_serve_orders, args=(theirs, url, script, numbers, sessions))
            process.start()
            theirs.close()
            running.append(process)
            pipes.append(ours)
        for pipe in pipes:
            _received(pipe)
        yield Crowd(pipes)
    finally:
        for process in running:
            process.terminate()
            process.join()


def _received(pipe: Connection) -> Any:
    """Return what a process of a crowd sends; raise `SessionLost` if it sends why it cannot."""
    try:
        answer = pipe.recv()
    except EOFError:
        raise SessionLost("A client process ended.") from None
    if isinstance(answer, str):
        raise SessionLost(answer)
    return answer


def _serve_orders(pipe: Connection, url: str, script: Script, numbers: Sequence[int], count: int) -> None:
    try:
        sessions = PacedSessions(url, script, numbers, count)
        pipe.send(sessions.configure())
        pipe.send(sessions.speak(*pipe.recv()))
    except SessionLost as lost:
        pipe.send(str(lost))
