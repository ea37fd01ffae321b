"""The waiting audio of many sessions, decoded and searched for turns in rounds.

A round takes one slice of audio of each session that waits, and one call of the speech detector's network for all of
them, in one thread. So two hundred sessions cost little more calls than one, and a session that sends an hour at once
holds up nobody.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from src.audio.live_frames import LiveFrames, probabilities_of
from src.audio.vad import Probabilities, SpeechDetector
from src.realtime.outputs import Output
from src.realtime.session import Session

PAUSE_RATIO = 4
"""The pause after a round is this many times as long as the round took. So rounds take at most a fifth of a core, as
long as that is enough: see `MAX_PAUSE_S`."""
MIN_PAUSE_S = 0.02
"""The shortest pause. Rounds of one session each would cost twice as much as those of ten."""
MAX_PAUSE_S = 0.1
"""The longest pause, and so the longest that audio waits for its round to begin."""
RETRY_S = 0.01
"""When the sessions that wait are asked again if something else is being done with each of them."""

Result = list[Output] | Exception
"""The outputs of a session in a round, or why it failed."""
_Value = TypeVar("_Value")


def run_round(detector: SpeechDetector, sessions: Sequence[Session]) -> list[Result]:
    """Decode the next slice of audio of each session and detect turns in it. If one fails, the others do not."""
    decoded = [_attempt(session.decode_audio) for session in sessions]
    probabilities = iter(probabilities_of(detector, [each for each in decoded if isinstance(each, LiveFrames)]))
    found = [next(probabilities) if isinstance(each, LiveFrames) else each for each in decoded]
    return [_finished(session, each) for session, each in zip(sessions, found, strict=True)]


def pause_after(round_s: float) -> float:
    """Return how long to wait after a round that took `round_s` seconds."""
    return min(max(PAUSE_RATIO * round_s, MIN_PAUSE_S), MAX_PAUSE_S)


def _attempt(function: Callable[[], _Value]) -> _Value | Exception:
    try:
        return function()
    except Exception as error:
        return error


def _finished(session: Session, found: Probabilities | Exception | None) -> Result:
    if isinstance(found, Exception):
        return found
    return _attempt(lambda: session.detect_turns(found))


@dataclass(eq=False, slots=True)
class _Entry:
    """A session that waits for a round."""

    session: Session
    lock: asyncio.Lock
    future: "asyncio.Future[list[Output]]"


class AudioBatcher:
    """Decodes the audio of sessions in rounds. For use from one event loop.

    A session that waits while nothing runs has its round at once. After each round there is a pause (`pause_after`), in
    which sessions gather for the next one.

    Args:
        detector: the speech detector of the sessions' streams.
        threads: runs the rounds, one at a time.
    """

    def __init__(self, detector: SpeechDetector, threads: Executor) -> None:
        self._detector = detector
        self._threads = threads
        self._waiting: dict[Session, _Entry] = {}
        self._runner: asyncio.Task[None] | None = None

    def submit(self, session: Session, lock: asyncio.Lock) -> "asyncio.Future[list[Output]]":
        """Have the next slice of a session's audio decoded, at most a second of it, and turns detected in it.

        A session that waits already is not added again. Cancelling the future takes the session out, unless its round
        has begun.

        Args:
            session: the session.
            lock: held while the session is worked on, and until callbacks of the future, and a task that awaits it,
                have run; a session whose lock is taken waits for a later round.

        Returns:
            The future of the session's outputs. It gets any error of the session or the detector.
        """
        entry = self._waiting.get(session)
        if entry is None or entry.future.cancelled():
            future = asyncio.get_running_loop().create_future()
            entry = self._waiting[session] = _Entry(session, lock, future)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return entry.future

    async def _run(self) -> None:
        """Run rounds until no session waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                started = loop.time()
                is_run = await self._run_next()
                await asyncio.sleep(pause_after(loop.time() - started) if is_run else RETRY_S)
        finally:
            self._runner = None
            for entry in self._waiting.values():
                entry.future.cancel()
            self._waiting.clear()

    async def _run_next(self) -> bool:
        """Run a round of all sessions whose lock is free. Return False if there are none."""
        entries = self._take()
        try:
            if entries:
                await self._run_round(entries)
        finally:
            for entry in entries:
                entry.future.cancel()  # nothing, unless the round was not run
                entry.lock.release()
        return bool(entries)

    def _take(self) -> list[_Entry]:
        """Remove and return the sessions that wait and whose lock is free, and take their locks."""
        taken = []
        for session, entry in tuple(self._waiting.items()):
            if entry.future.cancelled():
                del self._waiting[session]
            elif _acquired_at_once(entry.lock):
                taken.append(self._waiting.pop(session))
        return taken

    async def _run_round(self, entries: Sequence[_Entry]) -> None:
        sessions = [entry.session for entry in entries]
        loop = asyncio.get_running_loop()
        results: Sequence[Result]
        try:
            results = await loop.run_in_executor(self._threads, run_round, self._detector, sessions)
        except Exception as error:
            results = [error] * len(entries)
        for entry, result in zip(entries, results, strict=True):
            if entry.future.done():  # its holder has cancelled it
                continue
            if isinstance(result, Exception):
                entry.future.set_exception(result)
            else:
                entry.future.set_result(result)
        await asyncio.sleep(0)  # let those who wait handle the outputs before anyone else has the lock


def _acquired_at_once(lock: asyncio.Lock) -> bool:
    """Acquire a lock and return True, or return False if that means to wait."""
    acquiring = lock.acquire()
    try:
        acquiring.send(None)
    except StopIteration:
        return True
    acquiring.close()  # leaves the line of those who wait
    return False
