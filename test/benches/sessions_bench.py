"""How many people can speak at once, and how soon they read it: more and more realtime sessions against a service.

python3 test/benches/sessions_bench.py [--sessions N ...] [--seconds S] [--file FILE] [--vad] [--hypothesis]
    [--alone N] [--model MODEL] [--against DIR]

Every session speaks in real time: bundled clips in an order of its own with pauses of 0.6 to 1.2 s, or all of them
FILE. With `--vad` the service finds the turns, otherwise each session commits once, at its end. With `--hypothesis`
the sessions also ask for the words that may still change. Before that, the audio of `--alone` sessions is spoken by one
session that is alone, and that of all others is sent at once, for its texts. The table has for each number of sessions:

- delay: from the end of a spoken word until it could be read in a delta. A word that the deltas lack or have otherwise
  counts when the final text has it. The times of words are those of the file route, for words that both hear alike.
- lag: how much longer that took than for the same word in the session alone, in the first half of the audio and in the
  second. Steps of live text adapt to the load: a session alone gets its words sooner than it must, so the lag also has
  what the service gives up on purpose under load. Look at both.
- first: from the end of an item's first word to its first delta.
- read: as delay, until the word was in a delta or a hypothesis.
- end to final: from the end of a turn (the pause included that ends it) or the commit to the final text.
- same text: sessions whose final texts are all those of the same audio alone.
- kept up: sessions whose delay did not grow from the first half of the audio to the second.

CPU and memory are the service's own, by /proc. The clients share the machine with it, at most a hundred sessions in a
process. The figures show neither a network nor microphones, and their speech is read text without crosstalk.

`--against` runs the service of another checkout of the project too, such as a `git worktree` of an older commit, by
turns in the same run. The table is also saved as `test/results/sessions_bench.txt` and `.json`.
"""

import argparse
import asyncio
import json
import random
import sys
import time
import urllib.request
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import asdict, dataclass
from multiprocessing.pool import Pool
from pathlib import Path

import search_path
import client
import client_report
import numpy as np
from bench_model import add_model_argument
from client_processes import client_processes
from columns import Cell, columns
from conversations import conversation
from live_session import LiveResult, Manner, listen
from numpy.typing import NDArray
from own_service import OUR_SERVICE, Server, cpu_s, resident_mb, serving_both
from word_delays import Delays, SpokenWord, delays_of

from src.audio.samples import SAMPLE_RATE

EACH = 100
"""Maximum number of sessions of one client process: they send 1,000 messages a second."""
SECONDS = 60.0
GROWTH_S = 0.5
"""How much the median delay of a session that keeps up may grow from the first half of its audio to the second."""


@dataclass(frozen=True)
class Speech:
    """What a session says: as it is sent live, and as a file."""

    live: client.Upload
    file: client.Upload


@dataclass(frozen=True)
class Reference:
    """What a session with some audio is compared with."""

    words: list[SpokenWord]
    text: str
    """The final texts of the same audio in a session alone."""
    alone: Delays | None
    """Its delays there; None if it was not spoken in real time."""


@dataclass(frozen=True)
class Level:
    """The figures of one number of sessions. Times in seconds, None if there is nothing to compare."""

    sessions: int
    kept_up: int
    delay_p50_s: float | None
    delay_p95_s: float | None
    lag_p50_s: float | None
    lag_first_half_p95_s: float | None
    lag_second_half_p95_s: float | None
    first_delta_p50_s: float | None
    first_delta_p95_s: float | None
    read_p50_s: float | None
    read_p95_s: float | None
    final_p50_s: float | None
    final_p95_s: float | None
    same_text: int
    cpu_cores: float
    cpu_per_session: float
    rss_mb: float
    rss_per_session_mb: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    speeches = speeches_of(options)
    settings = {"PARAKEET_HOST": "127.0.0.1", "PARAKEET_MAX_SESSIONS": str(max_sessions_for(options.sessions))}
    with serving_both(options.model, lambda _: OUR_SERVICE, options.against, **settings) as servers:
        levels = asyncio.run(all_levels(options, speeches, servers))
    said = f"{options.file.name}" if options.file else "clips with pauses, others in each session"
    rows = [("speech", f"{said}, {speeches[0].live.audio_len_s:.0f} s in real time"), ("model", options.model)]
    rows += [("turns", "server_vad" if options.vad else "one commit at the end")]
    text = client_report.table(rows) + table(levels)
    print(text, end="")
    client_report.save(options.results / "sessions_bench.txt", text)
    figures = {"speech": said, "model": options.model, "vad": options.vad, "hypothesis": options.hypothesis}
    found = {"levels": [{"server": name, **asdict(level)} for name, level in levels]}
    client_report.save(options.results / "sessions_bench.json", json.dumps(figures | found, indent=2) + "\n")
    return 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure how many realtime sessions keep up.")
    count = client.positive_int
    parser.add_argument("--sessions", type=count, nargs="+", default=[10, 25, 50], metavar="N")
    parser.add_argument("--file", type=Path, help="audio that all sessions send (default: other clips in each)")
    parser.add_argument(
        "--seconds", type=client.positive, metavar="S", help="audio of a session (default: 60, or FILE)"
    )
    add_model_argument(parser)
    parser.add_argument("--vad", action="store_true", help="let the service detect turns")
    parser.add_argument("--hypothesis", action="store_true", help="ask for the words that may still change")
    parser.add_argument("--alone", type=count, default=3, metavar="N", help="sessions run alone before (default: 3)")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout of the project to compare with")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


# -- what is said ------------------------------------------------------------------------------------------------------


def speeches_of(options: argparse.Namespace) -> list[Speech]:
    """Return what the sessions say; if there are more of them, they begin again.

    Raises:
        client.Failure: the file cannot be read or decoded.
    """
    if options.file is None:
        seconds = SECONDS if options.seconds is None else options.seconds
        return [speech_of(f"{number}", conversation(number, seconds)) for number in range(max(options.sessions))]
    samples = client.samples_of(options.file)
    return [speech_of(options.file.name, samples if options.seconds is None else samples[: _samples(options.seconds)])]


def _samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def speech_of(name: str, samples: NDArray[np.float32]) -> Speech:
    """Return 16 kHz mono samples as a session says them."""
    return Speech(client.live_pcm(name, samples), client.raw_pcm(name, samples))


def max_sessions_for(numbers: Sequence[int]) -> int:
    """Return the `PARAKEET_MAX_SESSIONS` for these numbers of sessions: the previous ones may still be closing."""
    return 2 * max(numbers)


# -- running -----------------------------------------------------------------------------------------------------------


async def all_levels(
    options: argparse.Namespace, speeches: Sequence[Speech], servers: dict[str, Server]
) -> list[tuple[str, Level]]:
    """Return the figures of all numbers of sessions, with the name of the server, which take turns."""
    manner = Manner(vad=options.vad, hypothesis=options.hypothesis)
    levels = []
    async with AsyncExitStack() as stack:
        climbs = {
            name: await stack.enter_async_context(
                aclosing(climb(options.sessions, speeches, server, manner, alone=options.alone))
            )
            for name, server in servers.items()
        }
        for sessions in options.sessions:
            for name, climbing in climbs.items():
                levels.append((name, await anext(climbing)))
                print(f"{name}: {sessions} sessions done", file=sys.stderr)
    return levels


async def climb(
    numbers: Sequence[int], speeches: Sequence[Speech], server: Server, manner: Manner, *, alone: int
) -> AsyncGenerator[Level, None]:
    """Run sessions alone, then each number of them together, and yield the figures of each number."""
    with client_processes(-(-max(numbers) // EACH)) as clients:
        used = speeches[: max(numbers)]
        references = [await reference_of(each, server.url, manner, number < alone) for number, each in enumerate(used)]
        idle_mb = resident_mb(server.pid)
        for sessions in numbers:
            before_s, started_s = cpu_s(server.pid), time.perf_counter()
            running = asyncio.create_task(together(clients, speeches, server.url, sessions, manner))
            await asyncio.sleep(speeches[0].live.audio_len_s * 0.9)
            rss_mb = resident_mb(server.pid)
            heard = await running
            cores = (cpu_s(server.pid) - before_s) / (time.perf_counter() - started_s)
            yield level_of(heard, references, speeches[0].live.audio_len_s, cores, rss_mb, rss_mb - idle_mb)


async def reference_of(speech: Speech, url: str, manner: Manner, paced: bool) -> Reference:
    """Return the words of a speech and its texts in a session alone, with its delays if that is `paced`.

    Raises:
        client.Failure: a request or a session fails.
    """
    words = await asyncio.to_thread(words_of, speech.file, url)
    heard = await listen(speech.live, url, Manner(manner.vad, manner.hypothesis, paced))
    return Reference(words, heard.text, delays_of(heard, words) if paced else None)


def words_of(file: client.Upload, url: str) -> list[SpokenWord]:
    """Return the words that the file route hears, with their times.

    Raises:
        client.Failure: it has no text for them.
    """
    address = f"{url}{client.ROUTE}?response_format=verbose_json&timestamp_granularities[]=word"
    request = urllib.request.Request(address, file.body, {"Content-Type": file.content_type})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            words = json.load(response)["words"]
    except OSError as error:
        raise client.Failure(f"{file.file} was not transcribed: {error}") from None
    return [SpokenWord(word["word"], word["end"]) for word in words]


async def together(
    clients: Pool, speeches: Sequence[Speech], url: str, sessions: int, manner: Manner
) -> list[LiveResult]:
    """Run concurrent sessions that start at random times within one second."""
    chance = random.Random(0)
    said = [speeches[number % len(speeches)].live for number in range(sessions)]
    waits_s = [chance.random() for _ in said]
    shares = [
        (said[start : start + EACH], url, waits_s[start : start + EACH], manner) for start in range(0, sessions, EACH)
    ]
    heard = await asyncio.to_thread(clients.starmap, of_one_process, shares, 1)
    return [each for share in heard for each in share]


def of_one_process(
    said: Sequence[client.Upload], url: str, waits_s: Sequence[float], manner: Manner
) -> list[LiveResult]:
    """Run concurrent sessions that start after `waits_s`, and return their results."""

    async def one(upload: client.Upload, wait_s: float) -> LiveResult:
        await asyncio.sleep(wait_s)
        return await listen(upload, url, manner)

    async def all_of_them() -> list[LiveResult]:
        return await asyncio.gather(*map(one, said, waits_s))

    return asyncio.run(all_of_them())


# -- figures -----------------------------------------------------------------------------------------------------------


def level_of(
    heard: Sequence[LiveResult],
    references: Sequence[Reference],
    audio_s: float,
    cores: float,
    rss_mb: float,
    grown_mb: float,
) -> Level:
    """Return the figures of sessions that ran together; session i said what `references[i % len(references)]` is of."""
    compared = [references[number % len(references)] for number in range(len(heard))]
    pairs = [(delays_of(each, reference.words), reference) for each, reference in zip(heard, compared, strict=True)]
    halves = [halved(lags(delays, reference), reference.words, audio_s) for delays, reference in pairs]
    delays_s = spread(delay for delays, _ in pairs for delay in delays.shown_s.values())
    reads_s = spread(delay for delays, _ in pairs for delay in delays.read_s.values())
    firsts_s = spread(delay for delays, _ in pairs for delay in delays.first_s)
    finals_s = spread(item.completed_s - (item.ended_s or 0.0) for each in heard for item in each.items)
    return Level(
        sessions=len(heard),
        kept_up=sum(keeps_up(*halved(delays.shown_s, reference.words, audio_s)) for delays, reference in pairs),
        delay_p50_s=delays_s[0],
        delay_p95_s=delays_s[1],
        lag_p50_s=spread(lag for half in halves for lags_s in half for lag in lags_s)[0],
        lag_first_half_p95_s=spread(lag for first, _ in halves for lag in first)[1],
        lag_second_half_p95_s=spread(lag for _, second in halves for lag in second)[1],
        first_delta_p50_s=firsts_s[0],
        first_delta_p95_s=firsts_s[1],
        read_p50_s=reads_s[0],
        read_p95_s=reads_s[1],
        final_p50_s=finals_s[0],
        final_p95_s=finals_s[1],
        same_text=sum(each.text == reference.text for each, reference in zip(heard, compared, strict=True)),
        cpu_cores=cores,
        cpu_per_session=cores / len(heard),
        rss_mb=rss_mb,
        rss_per_session_mb=grown_mb / len(heard),
    )


def spread(values: Iterable[float]) -> tuple[float | None, float | None]:
    """Return the p50 and the p95 of values; None without any."""
    ordered = sorted(values)
    return client_report.percentile(ordered, 50), client_report.percentile(ordered, 95)


def lags(delays: Delays, reference: Reference) -> dict[int, float]:
    """Return how much later than in the session alone each word was shown, by its number; none if there was none."""
    alone_s = reference.alone.shown_s if reference.alone else {}
    return {number: delay - alone_s[number] for number, delay in delays.shown_s.items() if number in alone_s}


def halved(by_word: dict[int, float], words: Sequence[SpokenWord], audio_s: float) -> tuple[list[float], list[float]]:
    """Return the values of the words that end in the first half of the audio, and of the others."""
    first = [value for number, value in by_word.items() if words[number].end_s < audio_s / 2]
    return first, [value for number, value in by_word.items() if words[number].end_s >= audio_s / 2]


def keeps_up(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether the delay is stable: the median of the second half is at most `GROWTH_S` above that of the first."""
    if not first or not second:
        return False
    return sorted(second)[len(second) // 2] <= sorted(first)[len(first) // 2] + GROWTH_S


NAMES = {
    "sessions": "sessions",
    "kept_up": "kept up",
    "delay_p50_s": "delay p50",
    "delay_p95_s": "p95",
    "lag_p50_s": "lag p50",
    "lag_first_half_p95_s": "p95 1st half",
    "lag_second_half_p95_s": "2nd half",
    "first_delta_p50_s": "first p50",
    "first_delta_p95_s": "p95",
    "read_p50_s": "read p50",
    "read_p95_s": "p95",
    "final_p50_s": "end to final p50",
    "final_p95_s": "p95",
    "same_text": "same text",
    "cpu_cores": "cores",
    "cpu_per_session": "per session",
    "rss_mb": "RSS MB",
    "rss_per_session_mb": "per session",
}
"""The names of a level's figures in the table."""


def table(levels: Sequence[tuple[str, Level]]) -> str:
    """Return the figures as aligned columns: a line for each server and number of sessions; times in seconds."""
    return columns(["server", *NAMES.values()], [[name, *cells(level)] for name, level in levels])


def cells(level: Level) -> list[Cell]:
    """Return a line of the table."""
    values = asdict(level)
    return [values[name] for name in NAMES]


if __name__ == "__main__":
    sys.exit(client.run(main))
