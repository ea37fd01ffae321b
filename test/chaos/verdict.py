"""The verdict on each call of the soak test, made at the end: a loss needs a fault at its time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from attempt import Attempt
from life import Life

RIGHT = "right"
REJECTED = "refused"
LOST_TO_STOP = "lost to a stop"
LOST_TO_WORKER = "lost to a worker"
WRONG_TEXT = "wrong text"
CROSS_TALK = "cross-talk"
UNEXPECTED = "unexpected"
UNANSWERED = "unanswered"
VERDICTS = (RIGHT, REJECTED, LOST_TO_STOP, LOST_TO_WORKER, WRONG_TEXT, CROSS_TALK, UNEXPECTED, UNANSWERED)
FINDINGS = (WRONG_TEXT, CROSS_TALK, UNEXPECTED, UNANSWERED)

FULL = ("429 queue_full", "503 queue_timeout", "503 too_many_sessions", "failed queue_full", "failed queue_timeout")
STOPPING = ("503 shutting_down", "failed shutting_down", "closed 1001", "closed 1012", "disconnected", "unreachable")
STARTING = ("503 model_not_ready", "failed model_not_ready", "503 shutting_down", "disconnected", "unreachable")
WORKER_KILLED = ("400 invalid_audio",)


@dataclass(frozen=True)
class Answer:
    """The answer to a call that is alone."""

    code: str
    text: str


class Judge:
    """Judges calls by their answers when alone, the service's lives, and the times of killed decode workers."""

    def __init__(self, alone: Mapping[str, Answer], lives: Sequence[Life], workers_killed_s: Sequence[float]) -> None:
        self._alone = alone
        self._texts = {answer.text for answer in alone.values() if answer.text}
        self._lives = lives
        self._workers_killed_s = list(workers_killed_s)

    def verdict(self, attempt: Attempt) -> str:
        """Return the verdict on an attempt. A killed worker excuses one call, so judge each attempt only once."""
        expected = self._alone[attempt.call.name]
        if attempt.code in ("", "timeout"):
            return UNANSWERED
        if Answer(attempt.code, attempt.text) == expected:
            return RIGHT
        if attempt.ok:
            return CROSS_TALK if attempt.text in self._texts else WRONG_TEXT
        return self._excuse(attempt)

    def _excuse(self, attempt: Attempt) -> str:
        if attempt.code in FULL:
            return REJECTED
        if self._stopped(attempt):
            return LOST_TO_STOP
        if attempt.code in WORKER_KILLED and self._lost_its_worker(attempt):
            return LOST_TO_WORKER
        return UNEXPECTED

    def _stopped(self, attempt: Attempt) -> bool:
        if attempt.code in STARTING and any(life.was_starting(attempt.sent_s) for life in self._lives):
            return True
        times = (attempt.sent_s, attempt.entrusted_s, attempt.ended_s)
        return attempt.code in STOPPING and any(life.excuses(*times) for life in self._lives)

    def _lost_its_worker(self, attempt: Attempt) -> bool:
        for killed_s in self._workers_killed_s:
            if attempt.sent_s <= killed_s <= attempt.ended_s:
                self._workers_killed_s.remove(killed_s)
                return True
        return False
