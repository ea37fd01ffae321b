"""Run the fuzzers of `test_fuzz.py` with as many examples as wanted.

python3 test/chaos/fuzz.py {decoder,multipart,realtime} --examples N [--seed S] [--url URL]

`decoder` decodes damaged media, `multipart` sends odd forms to a service, its own unless `--url` names one. `realtime`
runs N sessions: in one half the model may answer or fail at any time and every event is checked against a ledger, the
other half sends messages of any form. The first failing example is minimised and printed with the command that repeats
it, and the exit code is 1. Without a seed each run draws other examples.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1] / "benches"))

import search_path
import httpx
from answers import GOOD_TEXT, good_text
from chatter import CONVERSATIONS
from forms import EXTREMES, multiparts
from fuzz_targets import decode_anything, hold_conversation, post_anything
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test
from media import clip, wav
from mutants import media
from own_service import serving
from recordings import SPEECH, recordings
from session_machine import AnySequence

PATIENCE_S = 120.0
STEPS = 40


@dataclass(frozen=True)
class Budget:
    """Number of examples, and the seed."""

    examples: int
    seed: int

    @property
    def settings(self) -> settings:
        """The settings for Hypothesis."""
        checks = list(HealthCheck)
        return settings(max_examples=self.examples, deadline=None, database=None, suppress_health_check=checks)

    def spend(self, strategy: st.SearchStrategy[Any], target: Callable[[Any], object]) -> None:
        """Call `target` with every example; raises the error of the minimised failing example."""

        @seed(self.seed)
        @self.settings
        @given(strategy)
        def fuzz(example: Any) -> None:
            target(example)

        fuzz()


def fuzz_decoder(budget: Budget, _: str | None) -> str:
    """Decode damaged media."""
    sources = {recording.name: recording.data for recording in recordings()}
    budget.spend(media(sources), decode_anything)
    return "nothing but samples and errors of the sender's"


def fuzz_multipart(budget: Budget, url: str | None) -> str:
    """Send forms to a service, and a valid clip at the end."""
    statuses: Counter[int] = Counter()
    with _client(url) as http:
        for make in EXTREMES.values():
            statuses[post_anything(http, make()).status_code] += 1
        forms = multiparts(wav(clip(SPEECH)[:4_000]))
        budget.spend(forms, lambda form: statuses.update([post_anything(http, form).status_code]))
        assert good_text(http) == GOOD_TEXT
    return f"answers by status: {dict(statuses)}, the text after them right"


def fuzz_realtime(budget: Budget, _: str | None) -> str:
    """Run sessions."""
    half = Budget(budget.examples // 2, budget.seed)
    half.spend(CONVERSATIONS, hold_conversation)
    played = seed(budget.seed)(AnySequence)
    run_state_machine_as_test(played, settings=settings(half.settings, stateful_step_count=STEPS))
    return "nothing raised, every event of a documented form"


TARGETS = {"decoder": fuzz_decoder, "multipart": fuzz_multipart, "realtime": fuzz_realtime}


@contextmanager
def _client(url: str | None) -> Iterator[httpx.Client]:
    """Yield a client of the service at `url`, or of a new service."""
    if url:
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as http:
            yield http
        return
    with serving("tiny") as service, httpx.Client(base_url=service.url, timeout=PATIENCE_S) as http:
        yield http


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with `argv` (of the command line if None)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--examples", type=int, default=1_000)
    parser.add_argument("--seed", type=int, help="draw the examples of an earlier run")
    parser.add_argument("--url", help="the service that gets the forms")
    arguments = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    budget = Budget(arguments.examples, seed)
    began = time.monotonic()
    try:
        outcome = TARGETS[arguments.target](budget, arguments.url)
    except Exception:
        print(f"To repeat this: {_command(arguments.target, budget, arguments.url)}", file=sys.stderr)
        raise
    took = f"{time.monotonic() - began:.0f} s"
    print(f"{arguments.target}: {budget.examples} examples of seed {seed} in {took}; {outcome}")


def _command(target: str, budget: Budget, url: str | None) -> str:
    """Return the command line that draws the same examples again."""
    command = f"python3 test/chaos/fuzz.py {target} --examples {budget.examples} --seed {budget.seed}"
    return f"{command} --url {url}" if url else command


if __name__ == "__main__":
    main()
