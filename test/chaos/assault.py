"""Send a corpus to a running service, file by file, and collect the answers."""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

import httpx
from answers import GOOD_TEXT, good_text, problem_with, send
from columns import columns
from hostile import HostileFile

SLOW_S = 15.0
"""The longest time that a file may take."""
PATIENCE_S = 120.0


@dataclass
class Outcome:
    """The answers so far."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest_s: float = 0.0
    slowest: str = ""
    wrong_texts: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def withstood(self) -> bool:
        """Whether all answers are allowed, all good clips have their text, and no file was slow."""
        return not self.faults and not self.wrong_texts and self.slowest_s <= SLOW_S

    def add(self, file: HostileFile, answer: httpx.Response, took_s: float) -> None:
        """Add an answer."""
        self.statuses[answer.status_code] += 1
        if took_s > self.slowest_s:
            self.slowest_s, self.slowest = took_s, file.name
        if fault := problem_with(answer):
            self.faults.append(f"{file.name}: {fault}")

    def of_class(self, hundreds: int) -> int:
        """Return how many answers had a status of a class, such as 4 for 4xx."""
        return sum(number for status, number in self.statuses.items() if status // 100 == hundreds)


def assault(files: Iterable[HostileFile], url: str, key: str) -> Outcome:
    """Send each file, alternately in a form and as the body, and a good clip after each."""
    outcome = Outcome()
    with httpx.Client(base_url=url, timeout=PATIENCE_S, headers={"authorization": f"Bearer {key}"}) as http:
        for number, file in zip(count(), files, strict=False):
            began = time.perf_counter()
            try:
                answer = send(http, file, raw=number % 2 == 1)
            except httpx.HTTPError as error:
                outcome.faults.append(f"{file.name}: {error!r}")
            else:
                outcome.add(file, answer, time.perf_counter() - began)
            outcome.wrong_texts += good_text(http) != GOOD_TEXT
    return outcome


def table(outcome: Outcome) -> str:
    """Return the figures as a table, and each fault below it."""
    head = ["files", "200", "4xx", "5xx", "no answer", "slowest s", "wrong texts after"]
    answered = outcome.statuses.total()
    silent = sum("HTTPError" in fault for fault in outcome.faults)
    row = [answered + silent, *map(outcome.of_class, (2, 4, 5)), silent, outcome.slowest_s, outcome.wrong_texts]
    faults = "".join(f"{fault}\n" for fault in outcome.faults)
    return f"{columns(head, [row])}slowest: {outcome.slowest}\n{faults}"
