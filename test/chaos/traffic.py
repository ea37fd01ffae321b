"""The ordinary requests of the soak test."""

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence

import client
from call import POISON, Call, of_kind
from caller import Caller
from verdict import Answer

WEIGHTS = {
    "json": 6,
    "raw PCM": 4,
    "verbose_json": 2,
    "stream": 2,
    "mp3": 2,
    "m4a": 2,
    "webm": 2,
    "long": 0.2,
    "long stream": 0.2,
    "simple session": 3,
    "OpenAI session": 3,
}
"""Relative frequency of each kind."""
AFTER_FAILURE_S = 0.5


async def answers_alone(caller: Caller, calls: Sequence[Call]) -> dict[str, Answer]:
    """Send each call alone and return its answer.

    Raises:
        client.Failure: one that should return a text does not.
    """
    answers = {}
    for call in calls:
        attempt = await caller.send(call)
        if not attempt.ok and call.kind != POISON:
            raise client.Failure(f"{call.name} sent alone: {attempt.code}")
        answers[call.name] = Answer(attempt.code, attempt.text)
    return answers


async def keep_calling(caller: Caller, calls: Iterator[Call], pause_s: float, until_s: float) -> None:
    """Send one call after the other until `until_s` (`time.monotonic`), with a pause after each."""
    while time.monotonic() < until_s:
        attempt = await caller.send(next(calls))
        await asyncio.sleep(pause_s if attempt.ok else AFTER_FAILURE_S)


def mixed(calls: Sequence[Call], chance: random.Random) -> Iterator[Call]:
    """Yield calls forever, each kind as often as its weight demands."""
    by_kind: Mapping[str, list[Call]] = {kind: of_kind(calls, kind) for kind in WEIGHTS}
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    while True:
        [kind] = chance.choices(kinds, weights)
        yield chance.choice(by_kind[kind])
