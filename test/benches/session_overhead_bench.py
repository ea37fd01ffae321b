"""What a realtime session costs the server besides the model: CPU time per second of audio, by threads.

python3 test/benches/session_overhead_bench.py [--sessions N] [--append-ms MS ...] [--turns manual server_vad]
    [--seconds S] [--rounds N] [--words S] [--against DIR] [--profile]

The service runs in a process of its own on a model that answers at once (`instant_model.py`). All sessions speak at the
same time, in real time: bundled clips with pauses, from another place in each session, as 24 kHz PCM16 in base64, as
OpenAI's clients send it. They start evenly within one append, so they do not come in lockstep. With `manual` nothing is
committed: such sessions have live text and no items. With `server_vad` a pause ends an item, so the cost of items is in
the figures too. The model has a word for each `--words` seconds of speech, in live text as in final texts.

CPU time is that of the service's process by /proc, without the client's; the event loop's is that of the main thread. A
figure is that of the best round, because other programs can only add to it. If the client or the server did not keep
real time, a figure means nothing: then it is void, and the exit code is 1.

`--against` runs the service of another checkout of the project too, such as a `git worktree` of an older commit, by
turns in the same run, with that checkout's own `instant_model.py`; older ones say nothing in live text, which is less
work. `--profile` also prints where the event loop's thread of this checkout spends its time; the figures are then too
high. The table is also saved as `test/results/session_overhead_bench.txt` and `.json`.

The figures do not show what the model costs, nor what the network does.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import search_path
import client
import client_report
import numpy as np
from columns import Cell, columns
from conversations import conversation
from media import resampled
from overhead_bench import profile_text
from own_service import EVENT_LOOP, Server, cpu_of_threads_s, cpu_s, serving_both
from paced_sessions import RATE, Report, Script, SessionLost, crowd_of, script_of

SPEECH_S = 180.0
"""Length of the audio that the sessions send, each from another place on."""
WARM_UP_S = 3.0
"""Audio of each round before it is measured."""
EACH = 400
"""Maximum number of sessions of one client process."""
LATE_SHARE = 0.05
"""Share of the appends that may come after the next one was due: those come together, which costs the server less."""
MOST_LATE_S = 1.0
"""How late an append may come, and how much later the server may take what came last."""
TURNS: dict[str, dict[str, Any] | None] = {"manual": None, "server_vad": {"type": "server_vad"}}
COMPLETED = "conversation.item.input_audio_transcription.completed"


@dataclass(frozen=True)
class Case:
    """How the sessions of a round send their audio."""

    append_ms: int
    turns: str


@dataclass(frozen=True)
class Cost:
    """What the sessions of one case cost a server. CPU is in milliseconds per second of audio."""

    server: str
    append_ms: int
    turns: str
    sessions: int
    cpu_ms: float
    event_loop_ms: float
    others_ms: dict[str, float]
    """Of the other threads, by name."""
    appends_per_s: float
    events_per_s: float
    """Events that all sessions together got."""
    items: int
    """Items that got their final text."""
    late_percent: float
    """Percentage of the appends that the client sent later than the next one was due."""
    latest_s: float
    """The longest delay of an append by the client."""
    answered_s: float
    """The longest that the server took, after the last append, to answer a message behind it."""
    void: str | None
    """Why the figures mean nothing; None if they do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with `argv` (of the command line if None) and return its exit code; raises `client.Failure`."""
    options = arguments(argv)
    settings = {"PARAKEET_HOST": "127.0.0.1", "PARAKEET_MAX_SESSIONS": str(2 * options.sessions)}
    # The service sets it when it loads a model. The instant models of older checkouts do not.
    settings["OMP_NUM_THREADS"] = str(max(1, len(os.sched_getaffinity(0)) - 1))
    words = ["--every", f"{options.words}"] if options.words else []
    with TemporaryDirectory() as folder:
        profile = Path(folder) / "profile"

        def program(top: Path) -> list[str]:
            profiled = ["--profile", str(profile)] if options.profile and top == client.TOP else []
            return [str(top / "test" / "benches" / "instant_model.py"), *words, *profiled]

        with serving_both("tiny", program, options.against, **settings) as servers:
            costs = measure(options, servers)
        text = table(costs) + (profile_text(profile) if options.profile else "")
    print(text, end="")
    client_report.save(options.results / "session_overhead_bench.txt", text)
    figures = {"seconds": options.seconds, "words": options.words, "costs": [asdict(cost) for cost in costs]}
    client_report.save(options.results / "session_overhead_bench.json", json.dumps(figures, indent=2) + "\n")
    return 1 if any(cost.void for cost in costs) else 0


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Measure the CPU time of realtime sessions without the model.")
    count = client.positive_int
    parser.add_argument("--sessions", type=count, default=200, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--append-ms", type=count, nargs="+", default=[100, 20], metavar="MS", help="(default: 100 20)")
    parser.add_argument("--turns", choices=TURNS, nargs="+", default=list(TURNS), help="(default: both)")
    parser.add_argument(
        "--seconds", type=client.positive, default=15.0, help="measured time of a round (default: %(default)g)"
    )
    parser.add_argument("--rounds", type=count, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--words", type=float, default=0.4, metavar="S", help="a word in each so many seconds; 0: none in live text"
    )
    parser.add_argument("--against", type=Path, metavar="DIR", help="another checkout of the project to compare with")
    parser.add_argument("--profile", action="store_true", help="print what the event loop's thread does")
    parser.add_argument("--results", type=Path, default=client.RESULTS, metavar="DIR")
    return parser.parse_args(argv)


def measure(options: argparse.Namespace, servers: dict[str, Server]) -> list[Cost]:
    """Return the best round of each case at each server, by turns."""
    scripts = dict(scripts_of(options.append_ms, options.turns))
    for server, (case, script) in product(servers.values(), scripts.items()):
        one_round("", server, case, script, 1, 1.0)  # the first session of a kind loads what it needs
    best: dict[tuple[Case, str], Cost] = {}
    for number, (case, script) in product(range(options.rounds), scripts.items()):
        for name, server in servers.items():
            cost = one_round(name, server, case, script, options.sessions, options.seconds)
            print(f"round {number + 1}: {', '.join(map(str, cells(cost)[:5]))}", file=sys.stderr)
            best[case, name] = min(best.get((case, name), cost), cost, key=lambda each: (bool(each.void), each.cpu_ms))
    return [best[case, name] for case in scripts for name in servers]


def scripts_of(appends_ms: Sequence[int], turns: Sequence[str]) -> Iterator[tuple[Case, Script]]:
    """Yield each case with what its sessions send."""
    speech = resampled(conversation(0, SPEECH_S), RATE)
    pcm16 = np.rint(speech * 32768).clip(-32768, 32767).astype("<i2").tobytes()
    for append_ms, kind in product(appends_ms, turns):
        audio = {
            "format": {"type": "audio/pcm", "rate": RATE},
            "transcription": {"model": "gpt-4o-transcribe"},
            "turn_detection": TURNS[kind],
        }
        session = {"type": "transcription", "audio": {"input": audio}}
        yield Case(append_ms, kind), script_of(pcm16, append_ms / 1000, session)


def one_round(name: str, server: Server, case: Case, script: Script, sessions: int, seconds: float) -> Cost:
    """Let so many sessions speak, and return what the server spends on them after `WARM_UP_S`."""
    spent_s: dict[str, float] = {}
    reports: list[Report] = []
    lost = None
    try:
        with crowd_of(sessions, server.url, script, -(-sessions // EACH)) as crowd:
            start_s = time.perf_counter() + 0.2
            crowd.speak(start_s, WARM_UP_S + seconds)
            time.sleep(max(0.0, start_s + WARM_UP_S - time.perf_counter()))
            before_s = cpu_by_thread_s(server)
            time.sleep(max(0.0, start_s + WARM_UP_S + seconds - time.perf_counter()))
            spent_s = {thread: used - before_s.get(thread, 0.0) for thread, used in cpu_by_thread_s(server).items()}
            reports = crowd.reports()
    except SessionLost as reason:
        lost = str(reason)
    return cost_of(name, case, sessions, seconds, spent_s, reports, lost)


ALL = "all threads"


def cpu_by_thread_s(server: Server) -> dict[str, float]:
    """Return the CPU seconds of a server's threads by name, and of `ALL` together, those that have ended included."""
    return {ALL: cpu_s(server.pid), **cpu_of_threads_s(server.pid)}


def cost_of(
    name: str,
    case: Case,
    sessions: int,
    seconds: float,
    spent_s: dict[str, float],
    reports: Sequence[Report],
    lost: str | None,
) -> Cost:
    """Return the figures of a round; `lost` is why it ended early."""
    spent_ms = {thread: used * 1000 / (sessions * seconds) for thread, used in spent_s.items()}
    events = sum((Counter(report.events) for report in reports), Counter())
    late = sum(report.late for report in reports) / max(1, sum(report.appends for report in reports))
    latest_s = max((report.latest_s for report in reports), default=0.0)
    answered_s = max((report.answered_s for report in reports), default=0.0)
    return Cost(
        name,
        case.append_ms,
        case.turns,
        sessions,
        cpu_ms=spent_ms.pop(ALL, 0.0),
        event_loop_ms=spent_ms.pop(EVENT_LOOP, 0.0),
        others_ms={thread: used for thread, used in spent_ms.items() if used >= 0.005},
        appends_per_s=sessions * 1000 / case.append_ms,
        events_per_s=sum(events.values()) / (WARM_UP_S + seconds),
        items=events[COMPLETED],
        late_percent=late * 100,
        latest_s=latest_s,
        answered_s=answered_s,
        void=lost or too_late(late, latest_s, answered_s),
    )


def too_late(late: float, latest_s: float, answered_s: float) -> str | None:
    """Return why a round did not keep real time; None if it did. `late` is a share of the appends."""
    if late > LATE_SHARE or latest_s > MOST_LATE_S:
        return f"the client was late: {late:.0%} of its appends, by up to {latest_s:.2f} s"
    if answered_s > MOST_LATE_S:
        return f"the server was {answered_s:.2f} s behind at the end"
    return None


NAMES = ["server", "append ms", "turns", "sessions", "CPU ms", "event loop", "others", "appends/s", "events/s", "items"]


def table(costs: Sequence[Cost]) -> str:
    """Return costs as aligned columns, and why some are void; CPU is in milliseconds per second of audio."""
    text = columns([*NAMES, "late %", "behind s", "others by thread"], [cells(cost) for cost in costs])
    void = [f"void: {cost.server}, {cost.append_ms} ms, {cost.turns}: {cost.void}\n" for cost in costs if cost.void]
    return text + "".join(void)


def cells(cost: Cost) -> list[Cell]:
    """Return a line of the table."""
    others = "  ".join(f"{name} {spent_ms:.2f}" for name, spent_ms in cost.others_ms.items())
    cpu_ms: list[Cell] = [cost.cpu_ms, cost.event_loop_ms, cost.cpu_ms - cost.event_loop_ms]
    counts: list[Cell] = [cost.appends_per_s, cost.events_per_s, cost.items, cost.late_percent, cost.answered_s]
    return [
        cost.server,
        cost.append_ms,
        cost.turns,
        cost.sessions,
        *(["void"] * 3 if cost.void else cpu_ms),
        *counts,
        others or "-",
    ]


if __name__ == "__main__":
    sys.exit(client.run(main))
