"""What `warmup.py`, `bench.py` and `tpm.py` share: files, sending and arguments.

A file becomes an `Upload` once; a `Send` sends it any number of times and returns an `Answer`; `client_report.py` turns
answers into figures. Only `open_sender` chooses the transport, HTTP here or the WebSocket of `client_ws.py`. Each is a
function from `Upload` to `Answer`.

HTTP uses aiohttp: a request of 128 kB costs the client 0.2 ms. With httpx it costs 1 ms, and 7 ms with 256 of them in
flight (it searches its pool linearly): at hundreds of requests per second httpx would measure itself. The WebSocket
uses websockets, because aiohttp drops the body of a rejected upgrade, which has the error's code.
"""

import argparse
import asyncio
import io
import json
import math
import mimetypes
import os
import resource
import socket
import sys
import time
import uuid
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))  # the programs are run as scripts, from any folder

try:
    import aiohttp
    import client_ws
    import numpy as np
    import soundfile
    from numpy.typing import NDArray
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

    from src.audio.decode import decode
    from src.audio.samples import SAMPLE_RATE
    from src.errors import ServiceError
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed: run `bash scripts/setup.sh`, then `source .venv/bin/activate`")

ROUTE = "/v1/audio/transcriptions"
CLIPS = TOP / "test" / "clips"
RESULTS = TOP / "test" / "results"
PCM_TYPE = f"audio/pcm;rate={SAMPLE_RATE};channels=1"
ANY_LENGTH_S = 1e9
"""Longer than any file: the limit is the server's to enforce."""

PATIENCE_S = 60.0
"""A rejected request is retried until this long after it was first sent."""
RETRY_AFTER_S = 1.0
"""Wait after a rejection without `Retry-After`."""
RETRY_FLOOR_S = 0.1
DEAD_SERVER_PAUSE_S = 0.1
CONNECTIONS_MAX = 20_000
"""Below the local ports that Linux has for one destination (28,232 by default)."""
OTHER_FILES = 100
"""Open files to leave for everything but connections."""
KEEP_ALIVE_S = 2.0
"""Less than the 5 s after which uvicorn closes an idle connection, so that no connection is reused just as it ends."""


class Failure(Exception):
    """The program cannot continue. The message is one sentence for its user."""


@dataclass(frozen=True)
class Upload:
    """One file, ready to be sent any number of times, and its length in seconds.

    HTTP sends `body` with the type `content_type`; a WebSocket sends the messages `frames`.
    """

    file: str
    audio_len_s: float
    body: bytes = b""
    content_type: str = ""
    frames: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """The outcome of one upload.

    `code` is the HTTP status with the error code of the body (`200`, `429 queue_full`), or one word if no answer came
    (`timeout`, `unreachable`, `disconnected`; `status` is 0). `latency_s` spans the attempt that was answered, from its
    first byte sent to its last byte received, at `ended_s` (`time.perf_counter`). `refused` is true if the server was
    full and the request may be retried after `retry_after_s`; `retries` counts the rejections before this answer.

    Over a WebSocket, `code` is `200` for a text, the HTTP status and code of a rejected upgrade, `failed queue_full`
    for an error event, and `closed 1013` if the server closed the connection. `status` is 101 unless the upgrade was
    rejected. `latency_s` is from the start of the connection to `response.completed` (with `--realtime` that includes
    the length of the audio), `first_delta_s` from the first audio sent to the first delta with text, during the audio
    or after it (None: no delta), and `final_s` from `response.create` sent to `response.completed`.
    """

    file: str
    status: int
    code: str
    reply: dict[str, Any]
    latency_s: float
    audio_len_s: float
    ended_s: float
    retry_after_s: float = RETRY_AFTER_S
    refused: bool = False
    retries: int = 0
    first_delta_s: float | None = None
    final_s: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it has a text."""
        return self.code == "200"

    @property
    def text(self) -> str:
        """The transcript; empty if there is none."""
        return str(self.reply["text"]) if self.ok else ""

    @property
    def message(self) -> str:
        """The error message, the server's own if it sent one."""
        return "" if self.ok else str(self.reply["error"]["message"])


Send = Callable[[Upload], Awaitable[Answer]]


# -- files -------------------------------------------------------------------------------------------------------------


def short_clips() -> list[Path]:
    """Return the bundled clips except the long ones, sorted by name.

    Raises:
        Failure: there are none.
    """
    clips = sorted(each for each in CLIPS.glob("*.flac") if not each.name.startswith("long-"))
    if not clips:
        raise Failure(f"{CLIPS} has no clips: name a file with --file")
    return clips


def prepare(path: Path, options: argparse.Namespace) -> Upload:
    """Read `path` and return it as the options send it.

    With `options.pcm` the audio is 16 kHz mono PCM16 (in a WAV file unless `options.raw`), otherwise the file as it is.
    With `options.raw` the audio itself is the body, otherwise a multipart form with the one field `file`. With
    `options.ws` the audio is PCM16 in messages of 0.1 s with `options.realtime`, otherwise of 1 s.

    Raises:
        Failure: the file cannot be read or decoded.
    """
    original = _read(path)
    samples = _decoded(path, original)
    audio_len_s = len(samples) / SAMPLE_RATE
    if options.ws:
        piece_s = client_ws.REALTIME_PIECE_S if options.realtime else client_ws.PIECE_S
        return Upload(str(path), audio_len_s, frames=client_ws.frames(_pcm16(samples), piece_s))
    body, content_type = _http_body(path, original, _pcm16(samples), options)
    return Upload(str(path), audio_len_s, body, content_type)


def samples_of(path: Path) -> NDArray[np.float32]:
    """Return the audio of a file as 16 kHz mono samples (samples,).

    Raises:
        Failure: the file cannot be read or decoded.
    """
    return _decoded(path, _read(path))


def raw_pcm(name: str, samples: NDArray[np.float32]) -> Upload:
    """Return 16 kHz mono samples as an upload whose body is headerless PCM16."""
    return Upload(name, len(samples) / SAMPLE_RATE, _pcm16(samples), PCM_TYPE)


def live_pcm(name: str, samples: NDArray[np.float32]) -> Upload:
    """Return 16 kHz mono samples as an upload over a WebSocket in real time."""
    pieces = client_ws.frames(_pcm16(samples), client_ws.REALTIME_PIECE_S)
    return Upload(name, len(samples) / SAMPLE_RATE, frames=pieces)


def mode_words(options: argparse.Namespace) -> str:
    """Describe how the audio is sent."""
    if options.ws:
        return "WebSocket, in real time" if options.realtime else "WebSocket, as fast as possible"
    if options.raw:
        return "raw body, PCM16" if options.pcm else "raw body, original file"
    return "multipart, PCM16 in WAV" if options.pcm else "multipart, original file"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None


def _decoded(path: Path, data: bytes) -> NDArray[np.float32]:
    try:
        return decode(data, max_seconds=ANY_LENGTH_S)
    except ServiceError as error:
        raise Failure(f"{path}: {error.message}") from None
    except ModuleNotFoundError as missing:  # PyAV; libsndfile decodes the bundled clips to the same samples
        samples: NDArray[np.float32]
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
        if rate != SAMPLE_RATE or samples.ndim > 1:
            raise Failure(f"{path}: without {missing.name} it must be 16 kHz mono") from None
        return samples


def _http_body(path: Path, original: bytes, pcm16: bytes, options: argparse.Namespace) -> tuple[bytes, str]:
    guessed_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if options.raw:
        return (pcm16, PCM_TYPE) if options.pcm else (original, guessed_type)
    if options.pcm:
        return _form(f"{path.stem}.wav", "audio/wav", _wav(pcm16))
    return _form(path.name, guessed_type, original)


def _pcm16(samples: NDArray[np.float32]) -> bytes:
    return np.rint(samples * 32768).clip(-32768, 32767).astype("<i2").tobytes()


def _wav(pcm16: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm16)
    return buffer.getvalue()


def _form(name: str, content_type: str, audio: bytes) -> tuple[bytes, str]:
    """Return a multipart body with one field `file`, and its content type; names are escaped as in HTML, 4.10.21.8."""
    boundary = uuid.uuid4().hex
    escaped = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; filename="{escaped}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    )
    body = head.encode(errors="replace") + audio + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


# -- sending -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_sender(options: argparse.Namespace) -> AsyncIterator[Send]:
    """Yield the function that sends one upload to the server at `options.url`, over the transport of `options.ws`.

    Raises:
        Failure: no server listens there.
    """
    await _expect_listener(options.url)
    connections = _connection_limit()
    if options.ws:
        yield _websocket_sender(options)
    else:
        async with _http_sender(options, connections) as send:
            yield send


@asynccontextmanager
async def _http_sender(options: argparse.Namespace, connections: int) -> AsyncIterator[Send]:
    """Open a connection pool and yield the function that sends through it."""
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEP_ALIVE_S)
    timeout = aiohttp.ClientTimeout(total=options.timeout)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=_key(options)) as session:

        async def send(upload: Upload) -> Answer:
            return await _post(session, options.url + ROUTE, upload)

        yield send


def _websocket_sender(options: argparse.Namespace) -> Send:
    """Return the function that sends over a connection of its own; the timeout excludes the length of the audio."""
    address = client_ws.address(options.url)
    period_s = client_ws.REALTIME_PIECE_S if options.realtime else 0.0

    async def send(upload: Upload) -> Answer:
        timeout_s = options.timeout + period_s * len(upload.frames)
        return await _converse(address, upload, _key(options), period_s=period_s, timeout_s=timeout_s)

    return send


def _key(options: argparse.Namespace) -> dict[str, str]:
    """Return the `Authorization` header for the key, if there is one."""
    return {"Authorization": f"Bearer {options.key}"} if options.key else {}


def patient(send: Send) -> Send:
    """Return `send` with rejections retried after their `Retry-After`, for up to `PATIENCE_S`."""

    async def send_until_accepted(upload: Upload) -> Answer:
        started_s, retries = time.perf_counter(), 0
        while True:
            answer = await send(upload)
            wait_s = max(answer.retry_after_s, RETRY_FLOOR_S)
            if not answer.refused or time.perf_counter() + wait_s > started_s + PATIENCE_S:
                return replace(answer, retries=retries)
            await asyncio.sleep(wait_s)
            retries += 1

    return send_until_accepted


class Tally:
    """The answers so far."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.errors = 0

    def add(self, answer: Answer) -> None:
        """Add an answer."""
        self.answers.append(answer)
        self.errors += not answer.ok


async def keep_busy(send: Send, uploads: Iterator[Upload], workers: int, tally: Tally) -> None:
    """Send `uploads` until they end, `workers` at a time (a closed loop: each waits for its answer before its next)."""

    async def work() -> None:
        for upload in uploads:
            answer = await send(upload)
            tally.add(answer)
            if answer.status == 0:
                await asyncio.sleep(DEAD_SERVER_PAUSE_S)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


async def _post(session: aiohttp.ClientSession, address: str, upload: Upload) -> Answer:
    started_s = time.perf_counter()
    status, retry_after_s = 0, RETRY_AFTER_S
    try:
        headers = {"Content-Type": upload.content_type}
        async with session.post(address, data=upload.body, headers=headers, allow_redirects=False) as response:
            code, reply = _parse_answer(response.status, await response.read())
            status, retry_after_s = response.status, _seconds(response.headers.get("Retry-After"))
    except TimeoutError:
        code, reply = "timeout", _error("no answer in time")
    except aiohttp.ClientConnectorError as error:
        code, reply = "unreachable", _error(error.strerror or str(error))
    except aiohttp.ClientError as error:
        code, reply = "disconnected", _error(str(error))
    ended_s = time.perf_counter()
    return Answer(
        upload.file,
        status,
        code,
        reply,
        latency_s=ended_s - started_s,
        audio_len_s=upload.audio_len_s,
        ended_s=ended_s,
        retry_after_s=retry_after_s,
        refused=status == 429,
    )


async def _converse(
    address: str, upload: Upload, headers: dict[str, str], *, period_s: float, timeout_s: float
) -> Answer:
    started_s = time.perf_counter()
    try:
        async with asyncio.timeout(timeout_s):
            heard = await client_ws.converse(address, upload.frames, headers, period_s=period_s)
    except (client_ws.SessionFailed, WebSocketException, OSError) as error:
        status, code, reply, retry_after_s = _why_no_text(error)
        ended_s = time.perf_counter()
        latency_s = ended_s - started_s
        refused = status in (429, 503) or code == "failed queue_full"
        return Answer(
            upload.file, status, code, reply, latency_s, upload.audio_len_s, ended_s, retry_after_s, refused=refused
        )
    return Answer(
        upload.file,
        101,
        "200",
        {"text": heard.text},
        latency_s=heard.completed_s - started_s,
        audio_len_s=upload.audio_len_s,
        ended_s=heard.completed_s,
        first_delta_s=heard.first_delta_s,
        final_s=heard.final_s,
    )


def _why_no_text(error: Exception) -> tuple[int, str, dict[str, Any], float]:
    """Return status, code, reply and wait of an answer that ended a WebSocket conversation with `error`."""
    match error:
        case client_ws.SessionFailed():
            return 101, f"failed {error.code}".strip(), _error(str(error)), RETRY_AFTER_S
        case InvalidStatus(response=response):
            code, reply = _parse_answer(response.status_code, bytes(response.body or b""))
            return response.status_code, code, reply, _seconds(response.headers.get("Retry-After"))
        case ConnectionClosed(rcvd=close) if close is not None:
            return 101, f"closed {close.code}", _error(close.reason or "no reason given"), RETRY_AFTER_S
        case TimeoutError():
            return 0, "timeout", _error("no answer in time"), RETRY_AFTER_S
        case OSError():
            return 0, "unreachable", _error(error.strerror or str(error)), RETRY_AFTER_S
    return 0, "disconnected", _error(str(error)), RETRY_AFTER_S


def _parse_answer(status: int, body: bytes) -> tuple[str, dict[str, Any]]:
    """Return an answer's code and its JSON. A body without text and error becomes an error that quotes it."""
    try:
        reply = json.loads(body)
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        reply = {}
    if status == 200:
        return ("200", reply) if isinstance(reply.get("text"), str) else ("200 without text", _error(_quote(body)))
    error = reply.get("error")
    if not isinstance(error, dict) or "message" not in error:
        return str(status), _error(_quote(body))
    return f"{status} {error.get('code') or ''}".strip(), reply


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message}}


def _quote(body: bytes) -> str:
    """Return the beginning of `body` as one line."""
    return " ".join(body[:200].decode(errors="replace").split()) or "empty answer"


def _seconds(header: str | None) -> float:
    """Return the wait of a `Retry-After` header in seconds. A date, the header's other form, counts as absent."""
    try:
        wait_s = float(header or "")
    except ValueError:
        return RETRY_AFTER_S
    return wait_s if math.isfinite(wait_s) else RETRY_AFTER_S


async def _expect_listener(url: str) -> None:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, port), timeout=10)
    except (socket.gaierror, UnicodeError):
        raise Failure(f"There is no host {parts.hostname} (--url)") from None
    except OSError:
        raise Failure(f"No server answers at {url}: start it, or name another with --url") from None
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def _connection_limit() -> int:
    """Raise the limit of open files as far as is useful, and return how many connections fit into it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CONNECTIONS_MAX + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return CONNECTIONS_MAX
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, allowed - OTHER_FILES)


# -- arguments ---------------------------------------------------------------------------------------------------------


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that all clients share, `--file` excepted."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--ws", action="store_true", help="send PCM16 over a WebSocket of its own for each request")
    result.add_argument("--realtime", action="store_true", help="with --ws: send the audio as fast as it was spoken")
    result.add_argument("--raw", action="store_true", help="send the audio as the body itself, not in a multipart form")
    result.add_argument(
        "--no-pcm", dest="pcm", action="store_false", help="send the file as it is, not 16 kHz mono PCM16 made of it"
    )
    result.add_argument(
        "--url",
        type=_base_url,
        default=f"http://127.0.0.1:{os.environ.get('PARAKEET_PORT') or 8000}",
        help="address of the server (default: %(default)s)",
    )
    result.add_argument("--key", help="API key, where the server wants one")
    result.add_argument(
        "--timeout",
        type=positive,
        default=600.0,
        metavar="S",
        help="seconds to wait for an answer (default: %(default)g)",
    )
    result.add_argument(
        "--results",
        type=Path,
        default=RESULTS,
        metavar="DIR",
        help="folder of the result files (default: test/results)",
    )
    return result


def add_load_arguments(to: argparse.ArgumentParser) -> None:
    """Add the arguments of the clients that send many requests."""
    to.add_argument(
        "--file",
        type=Path,
        nargs="+",
        action="extend",
        help="audio files, sent in turn (default: the bundled clips but the long ones)",
    )
    to.add_argument(
        "--no-retry",
        dest="retry",
        action="store_false",
        help="count a 429 as an error instead of sending the request again (with --ws: any refusal of a full server)",
    )


def parsed(with_: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line, and reject options that exclude each other."""
    options = with_.parse_args(argv)
    if options.ws and (options.raw or not options.pcm):
        with_.error("--ws always sends PCM16 over a WebSocket: leave out --raw and --no-pcm")
    if options.realtime and not options.ws:
        with_.error("--realtime paces the audio of a WebSocket: use it with --ws")
    return options


def positive(text: str) -> float:
    """Parse a finite number above 0, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def positive_int(text: str) -> int:
    """Parse a whole number above 0, for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def _base_url(text: str) -> str:
    """Return the server's address without a path, which OpenAI's clients include (`http://localhost:8000/v1`)."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError(f"must be like http://127.0.0.1:8000, not {text!r}")
    return text.rstrip("/").removesuffix("/v1")


# -- running ----------------------------------------------------------------------------------------------------------


def run(program: Callable[[], int]) -> int:
    """Run a client's `main` and return its exit code: 1 after a `Failure`, printed to stderr; 130 after Ctrl-C."""
    try:
        return program()
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
