"""Whether keywords of some clients slow down others: the same requests beside clients with keyword lists and without.

python3 test/benches/keywords_bench.py [--senders N] [--victims N] [--n N] [--rounds N] [--phrases N] [--model MODEL]

One service runs in a process of its own. In every round the victims send a clip repeatedly, first beside senders that
do the same, then beside senders that add a keyword list of the maximum length, a new one each time. The latencies of
all rounds are pooled. The table is also saved as `test/results/keywords_bench.txt` and `.json`. The exit code is 1 if
the lists raised the victims' p50 by more than 1.3 times, or if a request returned no text.
"""

import argparse
import asyncio
import io
import json
import random
import string
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import cycle, islice
from pathlib import Path

import search_path
import client
import client_report
from bench_model import add_model_argument
from columns import columns
from own_service import serving

PLAIN, LISTS = "beside plain senders", "beside senders of lists"
P50_RATIO = 1.3
"""How much lists may raise the p50 of others."""
PHRASE_LENGTH = 100
"""Maximum number of characters in a phrase."""


@dataclass(frozen=True)
class VictimFigures:
    """The victims' latencies of one way over all rounds, in seconds, and the answers that the senders got."""

    way: str
    requests: int
    without_text: int
    p50_s: float | None
    p95_s: float | None
    sent_beside: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    upload = client.prepare(options.file, argparse.Namespace(ws=False, raw=False, pcm=True))
    with serving(options.model, PARAKEET_MAX_QUEUE_WAIT_S="60") as server:
        figures = asyncio.run(compare(options, upload, server.url))
    ratio = raised(*figures)
    text = table(figures, ratio)
    print(text, end="")
    client_report.save(options.results / "keywords_bench.txt", text)
    saved = {"model": options.model, "figures": [asdict(each) for each in figures], "p50_ratio": ratio}
    client_report.save(options.results / "keywords_bench.json", json.dumps(saved, indent=2) + "\n")
    return 0 if passed(figures, ratio) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure whether keywords of some clients slow down others.")
    count = client.positive_int
    parser.add_argument("--senders", type=count, default=4, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--victims", type=count, default=4, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--n", type=count, default=100, help="the victims' requests of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=count, default=4, help="of each way (default: %(default)s)")
    parser.add_argument("--phrases", type=count, default=100, metavar="N", help="of a list (default: %(default)s)")
    parser.add_argument("--file", type=Path, default=client.CLIPS / "rhvoice-slt-1.flac")
    add_model_argument(parser)
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


async def compare(options: argparse.Namespace, upload: client.Upload, url: str) -> list[VictimFigures]:
    """Return the victims' figures beside plain senders and beside senders of lists, measured in turns."""
    ways: dict[str, Iterator[client.Upload]] = {PLAIN: cycle([upload]), LISTS: with_lists(upload, options.phrases)}
    victims, senders = ({way: client.Tally() for way in ways} for _ in range(2))
    async with client.open_sender(argparse.Namespace(url=url, key=None, ws=False, timeout=600.0)) as send:
        await client.keep_busy(send, islice(cycle([upload]), 20), options.victims, client.Tally())  # to warm up
        for number in range(options.rounds):
            for way, uploads in ways.items():
                beside = asyncio.create_task(client.keep_busy(send, uploads, options.senders, senders[way]))
                await client.keep_busy(send, islice(cycle([upload]), options.n), options.victims, victims[way])
                beside.cancel()
                with suppress(asyncio.CancelledError):
                    await beside
            print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    return [figures_of(way, victims[way].answers, senders[way].answers) for way in ways]


def with_lists(upload: client.Upload, phrases: int, seed: int = 0) -> Iterator[client.Upload]:
    """Yield `upload` with a new list of `phrases` phrases each time."""
    chance = random.Random(seed)
    boundary = upload.content_type.partition("boundary=")[2]
    while True:
        keywords = json.dumps([phrase(chance) for _ in range(phrases)])
        field = f'--{boundary}\r\nContent-Disposition: form-data; name="keywords"\r\n\r\n{keywords}\r\n'
        yield replace(upload, body=field.encode() + upload.body)


def phrase(chance: random.Random) -> str:
    """Return made-up words of `PHRASE_LENGTH` characters in all."""
    words = io.StringIO()
    while words.tell() < PHRASE_LENGTH:
        words.write("".join(chance.choices(string.ascii_lowercase, k=chance.randint(2, 8))) + " ")
    return words.getvalue()[: PHRASE_LENGTH - 1] + "x"


def figures_of(way: str, victims: Sequence[client.Answer], senders: Sequence[client.Answer]) -> VictimFigures:
    """Return the figures of one way."""
    without_text = sum(not answer.ok for answer in [*victims, *senders])
    p50_s, p95_s, _ = client_report.latency_percentiles_s(victims)
    return VictimFigures(way, len(victims), without_text, p50_s, p95_s, len(senders))


def raised(plain: VictimFigures, lists: VictimFigures) -> float | None:
    """Return the factor by which lists raised the victims' p50."""
    return client_report.ratio(lists.p50_s, plain.p50_s)


def passed(figures: Sequence[VictimFigures], ratio: float | None) -> bool:
    """Whether every request returned a text and the p50 rose by no more than allowed."""
    return ratio is not None and ratio <= P50_RATIO and not any(each.without_text for each in figures)


def table(figures: Sequence[VictimFigures], ratio: float | None) -> str:
    """Return the figures as aligned columns, times in milliseconds, and the ratio of the p50 below them."""
    lines = []
    for each in figures:
        times_ms = [None if value is None else value * 1000 for value in (each.p50_s, each.p95_s)]
        lines.append([each.way, each.requests, each.without_text, *times_ms, each.sent_beside])
    lines.append(["ratio", None, None, ratio, None, None])
    return columns(["requests", "sent", "without text", "p50 ms", "p95 ms", "sent beside"], lines)


if __name__ == "__main__":
    sys.exit(client.run(main))
