"""Run many speech detections together, in one call of the network per step.

Detections are not gathered for a time window. All that wait when a thread becomes free start together, and those that
come meanwhile join at the next call. A batch has one thread, and another batch begins only once all others are full: a
full one takes half the time of as many detections by themselves.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from src.audio.vad import Detection, DetectionRequest, Probabilities, Result, SpeechDetector

MAX_BATCH = 16
"""Detections that run together; the others wait, which takes no memory. Larger batches are hardly faster."""


class _Task:
    """A detection and its progress.

    Attributes:
        future: gets the detection's result.
        request: what it needs next; None before its start and after its end.
    """

    def __init__(self, detection: Detection[Any]) -> None:
        self.future: Future[Any] = Future()
        self.request: DetectionRequest | None = None
        self._detection = detection

    def start(self) -> None:
        """Run the detection to its first request, unless it was cancelled."""
        if not self.future.cancelled():
            self._run(lambda: next(self._detection))

    def resume(self, reply: Probabilities | Exception) -> None:
        """Answer the request with its probabilities, or with the detector's error, and run to the next request."""
        if isinstance(reply, Exception):
            self._run(lambda: self._detection.throw(reply))
        else:
            self._run(lambda: self._detection.send(reply))

    def _run(self, step: Callable[[], DetectionRequest]) -> None:
        self.request = None
        try:
            self.request = step()
        except StopIteration as end:
            if self.future.set_running_or_notify_cancel():
                self.future.set_result(end.value)
        except Exception as error:
            if self.future.set_running_or_notify_cancel():
                self.future.set_exception(error)


class DetectionQueue:
    """Detections that wait or run. Any thread may call `submit`, one thread at a time `run_next`."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector
        self._waiting: deque[_Task] = deque()
        self._running: list[_Task] = []

    def __len__(self) -> int:
        """The number of detections that wait or run."""
        return len(self._waiting) + len(self._running)

    def submit(self, detection: Detection[Result]) -> "Future[Result]":
        """Add a detection, and return the future of its result. Cancelling the future cancels the detection."""
        task = _Task(detection)
        self._waiting.append(task)
        return task.future

    def run_next(self) -> None:
        """Start waiting detections while there is room, and run the next step of each in one call of the network.

        If one fails, its error is its result, and the others go on.
        """
        tasks = self._running = [task for task in self._running if not task.future.cancelled()]
        while self._waiting and len(tasks) < MAX_BATCH:
            task = self._waiting.popleft()
            tasks.append(task)  # at once, so that whoever asks meanwhile sees all that is taken
            task.start()
            if not task.request:
                tasks.pop()
        requests = [task.request for task in tasks if task.request]
        replies = self._detector.feed_each([each.stream for each in requests], [each.samples for each in requests])
        for task, reply in zip(tasks, replies, strict=True):
            task.resume(reply)
        self._running = [task for task in tasks if task.request]

    def cancel(self) -> None:
        """Cancel all detections."""
        for task in (*self._waiting, *self._running):
            task.future.cancel()


class MicroBatcher:
    """Runs detections in batches. For use from one event loop.

    Args:
        detector: the speech detector.
        threads: run the network.
        max_batches: how many batches run at a time, each in a thread.
    """

    def __init__(self, detector: SpeechDetector, threads: Executor, max_batches: int = 1) -> None:
        self._queues = [DetectionQueue(detector) for _ in range(max_batches)]
        self._threads = threads
        self._runners: dict[DetectionQueue, asyncio.Task[None]] = {}

    async def submit(self, detection: Detection[Result]) -> Result:
        """Run a detection together with the others that are submitted at the time, and return its result.

        Raises:
            Exception: any error of the detection or of the detector.
        """
        queue = next((queue for queue in self._queues if len(queue) < MAX_BATCH), min(self._queues, key=len))
        future = queue.submit(detection)
        if queue not in self._runners:
            self._runners[queue] = asyncio.create_task(self._run(queue))
        return await asyncio.wrap_future(future)

    async def _run(self, queue: DetectionQueue) -> None:
        loop = asyncio.get_running_loop()
        try:
            while queue:
                await loop.run_in_executor(self._threads, queue.run_next)
        finally:
            del self._runners[queue]
            queue.cancel()
