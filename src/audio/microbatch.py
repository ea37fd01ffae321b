"""Many clips heard in one call of the speech detector's network.

There is no window of time in which to gather clips: those that wait when a thread comes free go together, and what
comes meanwhile joins them with the next call. One thread at a time hears; under load its calls grow by themselves.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from src.audio.vad import Detection, DetectionRequest, Probabilities, Result, SpeechDetector

MAX_BATCH = 16
"""So many clips are heard at a time; the others wait, which takes no memory. More are hardly faster."""


class _Question:
    """One clip, as far as it has been heard.

    Attributes:
        piece: what is to be heard next; None before it has begun, and once there is an answer.
    """

    def __init__(self, listening: Detection[Any]) -> None:
        self.answer: Future[Any] = Future()
        self.piece: DetectionRequest | None = None
        self._listening = listening

    def begin(self) -> None:
        """Find out what is to be heard first, unless nobody wants to know any more."""
        if not self.answer.cancelled():
            self._run(lambda: next(self._listening))

    def go_on(self, found: Probabilities | Exception) -> None:
        """Take what was heard, or why nothing was, and find out what is to be heard next."""
        if isinstance(found, Exception):
            self._run(lambda: self._listening.throw(found))
        else:
            self._run(lambda: self._listening.send(found))

    def _run(self, step: Callable[[], DetectionRequest]) -> None:
        self.piece = None
        try:
            self.piece = step()
        except StopIteration as end:
            if self.answer.set_running_or_notify_cancel():
                self.answer.set_result(end.value)
        except Exception as error:
            if self.answer.set_running_or_notify_cancel():
                self.answer.set_exception(error)


class DetectionQueue:
    """Those that wait, and those that are being heard. `run_next` is for one thread at a time, `submit` for any."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector
        self._waiting: deque[_Question] = deque()
        self._heard: list[_Question] = []

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._waiting or self._heard)

    def submit(self, listening: Detection[Result]) -> "Future[Result]":
        """Return what will have the answer; cancelling it takes the question back."""
        question = _Question(listening)
        self._waiting.append(question)
        return question.answer

    def run_next(self) -> None:
        """Begin with those that wait, as far as there is room, and hear the next piece of each in one call.

        An error of one is its answer, and disturbs no other.
        """
        going = [each for each in self._heard if not each.answer.cancelled()]
        while self._waiting and len(going) < MAX_BATCH:
            question = self._waiting.popleft()
            question.begin()
            if question.piece:
                going.append(question)
        pieces = [each.piece for each in going if each.piece]
        for question, found in zip(going, self._found(pieces), strict=True):
            question.go_on(found)
        self._heard = [each for each in going if each.piece]

    def cancel(self) -> None:
        """Take all questions back."""
        for question in (*self._waiting, *self._heard):
            question.answer.cancel()

    def _found(self, pieces: list[DetectionRequest]) -> "list[Probabilities] | list[Probabilities | Exception]":
        try:
            return self._detector.feed_many([each.stream for each in pieces], [each.samples for each in pieces])
        except Exception:
            return [self._found_alone(piece) for piece in pieces]

    def _found_alone(self, piece: DetectionRequest) -> Probabilities | Exception:
        try:
            return piece.stream.feed(piece.samples)
        except Exception as error:
            return error


class MicroBatcher:
    """Has questions heard together. To be used from one event loop.

    Args:
        detector: what hears.
        threads: where; one of them at a time.
    """

    def __init__(self, detector: SpeechDetector, threads: Executor) -> None:
        self._questions = DetectionQueue(detector)
        self._threads = threads
        self._hearing: asyncio.Task[None] | None = None

    async def submit(self, listening: Detection[Result]) -> Result:
        """Return what is found out by hearing, together with what others ask at the time.

        Raises:
            Exception: as `listening` and the detector do.
        """
        answer = self._questions.submit(listening)
        if self._hearing is None:
            self._hearing = asyncio.create_task(self._hear())
        return await asyncio.wrap_future(answer)

    async def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._questions:
                await loop.run_in_executor(self._threads, self._questions.run_next)
        finally:
            self._hearing = None
            self._questions.cancel()
