"""What `warmup.py`, `bench.py` and `tpm.py` have in common: files, sending, figures, arguments and results.

A file becomes an `Upload` once; a `Send` sends it as often as wanted and returns an `Answer`; `summarise` makes figures
of many answers. `open_sender` alone knows the transport: another one is another function from `Upload` to `Answer`.
aiohttp, because it costs the client 0.2 ms for a request of 128 kB where httpx costs 1 ms, and 7 ms with 256 of them in
flight (its pool is searched linearly): at hundreds of requests per second httpx would measure itself.
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
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))  # the programs are run as scripts, from any folder

try:
    import aiohttp
    import numpy as np
    from numpy.typing import NDArray

    from src.audio.decode import SAMPLE_RATE, decode
    from src.errors import ServiceError
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed: run `bash scripts/setup.sh`, then `source .venv/bin/activate`")

ROUTE = "/v1/audio/transcriptions"
CLIPS = TOP / "test" / "clips"
RESULTS = TOP / "test" / "results"
PCM_TYPE = f"audio/pcm;rate={SAMPLE_RATE};channels=1"
ANY_LENGTH_S = 1e9
"""Longer than any file: how much is too long is the server's to say."""

PATIENCE_S = 60.0
"""A request is sent again after 429 until this long after it was first sent."""
RETRY_AFTER_S = 1.0
"""Wait after a 429 that does not say how long."""
RETRY_FLOOR_S = 0.1
DEAD_SERVER_PAUSE_S = 0.1
CONNECTIONS_MAX = 20_000
"""Below the local ports that Linux has for one destination (28,232 by default)."""
OTHER_FILES = 100
"""Room left for open files that are no connections."""
KEEP_ALIVE_S = 2.0
"""Less than the 5 s after which uvicorn closes an idle connection: a connection must not be reused just as it ends."""


class Failure(Exception):
    """The program cannot go on; the message is one sentence for its user."""


@dataclass(frozen=True)
class Upload:
    """One file, ready to be sent any number of times: the HTTP body with its type, and the seconds of audio in it."""

    file: str
    body: bytes
    content_type: str
    audio_len_s: float


@dataclass(frozen=True)
class Answer:
    """What became of one upload.

    `code` is the HTTP status with the error code of the body (`200`, `429 queue_full`), or one word where no answer
    came (`timeout`, `unreachable`, `disconnected`; `status` is 0). `latency_s` spans the attempt that was answered,
    from its first byte sent to its last byte received, and `ended_s` is when that was (`time.perf_counter`).
    `retries` counts the 429s before it.
    """

    file: str
    status: int
    code: str
    reply: dict[str, Any]
    latency_s: float
    audio_len_s: float
    ended_s: float
    retry_after_s: float = RETRY_AFTER_S
    retries: int = 0

    @property
    def ok(self) -> bool:
        """Whether it brought a text."""
        return self.code == "200"

    @property
    def text(self) -> str:
        """The transcript; empty where there is none."""
        return str(self.reply["text"]) if self.ok else ""

    @property
    def message(self) -> str:
        """What went wrong, in the server's words where it has any."""
        return "" if self.ok else str(self.reply["error"]["message"])


Send = Callable[[Upload], Awaitable[Answer]]


# -- files -------------------------------------------------------------------------------------------------------------


def short_clips() -> list[Path]:
    """Return the clips that come with the project but the long ones, in the order of their names.

    Raises:
        Failure: they are not there.
    """
    clips = sorted(each for each in CLIPS.glob("*.flac") if not each.name.startswith("long-"))
    if not clips:
        raise Failure(f"{CLIPS} has no clips: name a file with --file")
    return clips


def prepare(path: Path, *, raw: bool, pcm: bool) -> Upload:
    """Read `path` and make of it the body that is sent.

    `pcm` sends 16 kHz mono PCM16 whatever the file is (in a WAV wrapper unless `raw`), otherwise the file as it is.
    `raw` makes the audio itself the body, otherwise the body is a multipart form with the one field `file`.

    Raises:
        Failure: the file cannot be read or decoded.
    """
    try:
        original = path.read_bytes()
        samples = decode(original, max_seconds=ANY_LENGTH_S)
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    except ServiceError as error:
        raise Failure(f"{path}: {error.message}") from None
    guessed_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if raw:
        body, content_type = (_pcm16(samples), PCM_TYPE) if pcm else (original, guessed_type)
    elif pcm:
        body, content_type = _form(f"{path.stem}.wav", "audio/wav", _wav(_pcm16(samples)))
    else:
        body, content_type = _form(path.name, guessed_type, original)
    return Upload(str(path), body, content_type, len(samples) / SAMPLE_RATE)


def mode_words(*, raw: bool, pcm: bool) -> str:
    """Say how the audio is sent."""
    if raw:
        return "raw body, PCM16" if pcm else "raw body, original file"
    return "multipart, PCM16 in WAV" if pcm else "multipart, original file"


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
async def open_sender(url: str, *, timeout_s: float) -> AsyncIterator[Send]:
    """Open a connection pool to the server at `url` and yield the function that sends one upload through it.

    Raises:
        Failure: nothing listens there.
    """
    await _expect_listener(url)
    connector = aiohttp.TCPConnector(limit=_connection_limit(), keepalive_timeout=KEEP_ALIVE_S)
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def send(upload: Upload) -> Answer:
            return await _post(session, url + ROUTE, upload)

        yield send


def patient(send: Send) -> Send:
    """Return `send` with 429s retried after the wait that they ask for, as long as that ends within `PATIENCE_S`."""

    async def send_until_accepted(upload: Upload) -> Answer:
        started_s, retries = time.perf_counter(), 0
        while True:
            answer = await send(upload)
            wait_s = max(answer.retry_after_s, RETRY_FLOOR_S)
            if answer.status != 429 or time.perf_counter() + wait_s > started_s + PATIENCE_S:
                return replace(answer, retries=retries)
            await asyncio.sleep(wait_s)
            retries += 1

    return send_until_accepted


async def keep_busy(send: Send, uploads: Iterator[Upload], workers: int, tally: "Tally") -> None:
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
            code, reply = _understand(response.status, await response.read())
            status, retry_after_s = response.status, _seconds(response.headers.get("Retry-After"))
    except TimeoutError:
        code, reply = "timeout", _error("no answer in time")
    except aiohttp.ClientConnectorError as error:
        code, reply = "unreachable", _error(error.strerror or str(error))
    except aiohttp.ClientError as error:
        code, reply = "disconnected", _error(str(error))
    ended_s = time.perf_counter()
    return Answer(upload.file, status, code, reply, ended_s - started_s, upload.audio_len_s, ended_s, retry_after_s)


def _understand(status: int, body: bytes) -> tuple[str, dict[str, Any]]:
    """Return an answer's code and its JSON, or an error that quotes the body where that has neither text nor error."""
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
    """Return the wait of a `Retry-After` header in seconds; its other form, a date, counts as unsaid."""
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
    """Raise the limit of open files as far as that helps, and return how many connections it leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CONNECTIONS_MAX + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return CONNECTIONS_MAX
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, allowed - OTHER_FILES)


# -- figures -----------------------------------------------------------------------------------------------------------


class Tally:
    """The answers so far."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.errors = 0

    def add(self, answer: Answer) -> None:
        """Take in one more answer."""
        self.answers.append(answer)
        self.errors += not answer.ok


@dataclass(frozen=True)
class Summary:
    """The figures of a run.

    `codes`, `messages` (one for each code that is an error) and `latency_s` (of answers with a text: p50, p95, p99,
    mean; None where there is none) are of all requests. `requests_per_s` and `rtfx` (audio seconds per wall second)
    count the answers with a text that came within the `window_s` seconds after the start. `retried_429` are not among
    the requests: `requests + retried_429` were sent.
    """

    requests: int
    ok: int
    codes: dict[str, int]
    messages: dict[str, str]
    retried_429: int
    window_s: float
    requests_per_s: float
    rtfx: float
    latency_s: dict[str, float | None]


def summarise(answers: Sequence[Answer], *, started_s: float, window_s: float) -> Summary:
    """Return the figures of a run; rates are over `window_s` seconds from `started_s` (`time.perf_counter`)."""
    good = [each for each in answers if each.ok]
    timely = [each for each in good if each.ended_s <= started_s + window_s]
    latencies_s = sorted(each.latency_s for each in good)
    latency_s = {f"p{percent}": percentile(latencies_s, percent) for percent in (50, 95, 99)}
    latency_s["mean"] = sum(latencies_s) / len(good) if good else None
    return Summary(
        requests=len(answers),
        ok=len(good),
        codes=dict(sorted(Counter(each.code for each in answers).items())),
        messages={each.code: each.message for each in answers if not each.ok},
        retried_429=sum(each.retries for each in answers),
        window_s=window_s,
        requests_per_s=len(timely) / window_s,
        rtfx=sum(each.audio_len_s for each in timely) / window_s,
        latency_s=latency_s,
    )


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the nearest-rank percentile of ascending values: the smallest that `percent` of them do not exceed."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(percent * len(ordered) / 100) - 1)]


# -- arguments ---------------------------------------------------------------------------------------------------------


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the arguments that every client takes but `--file`."""
    result = argparse.ArgumentParser(description=description)
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
        help="count a 429 as an error instead of sending the request again",
    )


def positive(text: str) -> float:
    """Return the finite number above 0 that `text` is, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def positive_int(text: str) -> int:
    """Return the whole number above 0 that `text` is, for argparse."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text!r}")
    return int(text)


def _base_url(text: str) -> str:
    """Return `text` without what follows the server's name, as OpenAI's clients write it (`http://localhost:8000/v1`)."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError(f"must be like http://127.0.0.1:8000, not {text!r}")
    return text.rstrip("/").removesuffix("/v1")


# -- what the user sees ------------------------------------------------------------------------------------------------


def run(program: Callable[[], int]) -> int:
    """Run a client's `main` and return its exit code: 1 after a `Failure`, told on stderr; 130 after Ctrl-C."""
    try:
        return program()
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


@asynccontextmanager
async def shown_progress(progress: Callable[[], tuple[float, str]], stream: TextIO) -> AsyncIterator[None]:
    """While the block runs, show `progress()` (a share of 1, words) on `stream`: a bar on a terminal, else lines."""
    terminal = stream.isatty()

    async def show_again_and_again() -> None:
        while True:
            await asyncio.sleep(0.2 if terminal else 10)
            _show(*progress(), stream)

    shower = asyncio.create_task(show_again_and_again())
    try:
        yield
    finally:
        shower.cancel()
        with suppress(asyncio.CancelledError):
            await shower
        if terminal:
            _show(*progress(), stream)
            stream.write("\n")


def _show(share: float, words: str, stream: TextIO) -> None:
    share = min(share, 1.0)  # the last requests may end after the time
    if stream.isatty():
        filled = "#" * math.floor(30 * share)
        stream.write(f"\r\x1b[K[{filled:-<30}] {share:4.0%} {words}")
    else:
        stream.write(f"{share:4.0%} {words}\n")
    stream.flush()


Row = tuple[str, str]


def load_rows(options: argparse.Namespace, uploads: Sequence[Upload]) -> list[Row]:
    """Return the table rows that say what was sent where."""
    audio_s = sum(each.audio_len_s for each in uploads)
    return [
        ("server", options.url),
        ("sent as", mode_words(raw=options.raw, pcm=options.pcm)),
        ("files", f"{len(uploads)} with {audio_s:.1f} s of audio"),
    ]


def load_settings(options: argparse.Namespace, uploads: Sequence[Upload]) -> dict[str, Any]:
    """Return the same for the figures."""
    files = [each.file for each in uploads]
    return {"server": options.url, "sent_as": mode_words(raw=options.raw, pcm=options.pcm), "files": files}


def summary_rows(summary: Summary) -> list[Row]:
    """Return the table rows of a summary."""
    errors = [
        (f"error {code}", f"{summary.codes[code]}   {message}") for code, message in sorted(summary.messages.items())
    ]
    latency = "   ".join(f"{name} {_in_seconds(value)}" for name, value in summary.latency_s.items())
    return [
        ("requests", str(summary.requests)),
        ("ok", str(summary.ok)),
        ("errors", str(summary.requests - summary.ok)),
        *errors,
        ("retried 429s", str(summary.retried_429)),
        ("time", f"{summary.window_s:.2f} s"),
        ("requests/s", f"{summary.requests_per_s:.2f} answered with a text"),
        ("audio s/s", f"{summary.rtfx:.2f} = RTFx, audio seconds per wall second"),
        ("latency", latency),
    ]


def _in_seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"


def table(rows: Sequence[Row]) -> str:
    """Return `rows` as aligned lines."""
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in rows)


def save(path: Path, content: str) -> None:
    """Write `content` to `path`, whose folder is made.

    Raises:
        Failure: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8", errors="backslashreplace")  # file names may be no UTF-8
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None


def report(name: str, folder: Path, rows: Sequence[Row], figures: dict[str, Any]) -> None:
    """Print a run's table, and save it as `name.txt` and its figures as `name.json` in `folder`."""
    text = table(rows)
    print(text, end="")
    save(folder / f"{name}.txt", text)
    save(folder / f"{name}.json", json.dumps(figures, indent=2) + "\n")
    print(f"saved to {folder / name}.txt and .json")
