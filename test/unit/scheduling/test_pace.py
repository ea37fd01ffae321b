"""How long steps are: with a simulated model and people who speak in real time (src.scheduling.pace)."""

import heapq
import math
from dataclasses import dataclass, field
from itertools import count
from random import Random

import pytest

from src.scheduling.pace import LOAD_S, MAX_GATHER_S, MIN_GATHER_S, SERVICE_SHARE, SERVICE_STEP_S, TARGET_SHARE, Pace

MIN_S, MAX_S = 0.16, 1.92
CATCH_UP_S = 4.8


@dataclass
class Room:
    """People who speak in real time, and a model that takes `batch_s` for a batch and `step_s` for each of its steps.

    A person's next step begins once there is as much audio as the pace asks for, and takes all that waits.
    """

    batch_s: float
    step_s: float
    max_batch: int = 64
    clips_s: float = 0.0
    """Seconds that a batch of clips takes, if there is always one that waits."""
    pace: Pace = field(init=False)
    now: float = 0.0
    lengths: list[tuple[float, float]] = field(default_factory=list)
    """When each step began, and how much audio it took."""
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When each step ended, and how long after it had been asked for."""
    busy: list[tuple[float, float]] = field(default_factory=list)
    """When each batch of steps ended, and what it took."""

    def __post_init__(self) -> None:
        self.pace = Pace(MIN_S, MAX_S, self.max_batch)
        self._numbers = count()
        self._events: list = []
        self._decoded: dict[int, float] = {}
        self._queue: list[tuple[int, float, float]] = []
        self._running = 0
        self._is_busy = False
        self._gather_until = 0.0
        self._choice = Random(0)
        if self.clips_s:
            self._at(0.0, self._start)

    def come(self, people: int, within_s: float = 0.5) -> None:
        """Let people begin to speak, within some time."""
        for _ in range(people):
            start = self.now + self._choice.uniform(0, within_s)
            person = len(self._decoded)
            self._decoded[person] = start
            self._at(start, self._ask, person)

    def leave(self) -> None:
        """Let all be silent. Clips end as well."""
        self._decoded = dict.fromkeys(self._decoded, math.inf)
        self.clips_s = 0.0

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self._events and self._events[0][0] <= until:
            self.now, _, action, args = heapq.heappop(self._events)
            action(*args)
        self.now = until

    def length_s(self) -> float:
        """What the pace asks for now."""
        return self.pace.step_s(self._running + len(self._queue), self.now)

    def share(self, seconds: float) -> float:
        """The share of the last seconds in which the model was busy with steps."""
        return sum(took_s for at, took_s in self.busy if at > self.now - seconds) / seconds

    def last_lengths(self, seconds: float) -> list[float]:
        """The steps of the last seconds."""
        return [length_s for at, length_s in self.lengths if at > self.now - seconds]

    def _at(self, when: float, action, *args) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), action, args))

    def _ask(self, person: int) -> None:
        start = self._decoded[person]
        if start == math.inf:
            return
        waiting_s, needed_s = self.now - start, self.length_s()
        if waiting_s < needed_s - 1e-9:
            self._at(start + needed_s, self._ask, person)
            return
        taken_s = min(waiting_s, CATCH_UP_S)
        self.lengths.append((self.now, taken_s))
        self._queue.append((person, taken_s, self.now))
        self._start()

    def _start(self) -> None:
        if self._is_busy:
            return
        is_full = len(self._queue) >= self.max_batch
        if self._queue and (is_full or self.now >= self._gather_until - 1e-9):
            batch, self._queue = self._queue[: self.max_batch], self._queue[self.max_batch :]
            took_s = self.batch_s + self.step_s * len(batch) * self._choice.uniform(0.9, 1.1)
            self._is_busy, self._running = True, len(batch)
            self._at(self.now + took_s, self._end, batch, took_s)
        elif self.clips_s:
            self._is_busy = True
            self._at(self.now + self.clips_s, self._end_clips, self.clips_s)

    def _end(self, batch, took_s: float) -> None:
        self._is_busy, self._running = False, 0
        self.pace.note_steps(len(batch), sum(taken_s for _, taken_s, _ in batch), took_s, self.now)
        self.busy.append((self.now, took_s))
        self._gather_until = self.now + self.pace.gather_s(took_s, self.now)
        self._at(self._gather_until, self._start)
        for person, taken_s, asked_at in batch:
            self._decoded[person] += taken_s
            self.waits.append((self.now, self.now - asked_at))
            self._ask(person)

    def _end_clips(self, took_s: float) -> None:
        self._is_busy = False
        self.pace.note_clips(took_s, self.now)
        self._start()


GPU, SLOW_GPU, CPU, SLOW_CPU, INSTANT = (0.012, 0.0004), (0.02, 0.001), (0.01, 0.02), (0.02, 0.15), (0.0002, 0.00002)


def test_on_an_idle_model_steps_are_short():
    room = Room(*GPU)
    assert room.length_s() == MIN_S
    room.come(1)
    room.run(10)
    assert {round(each, 6) for each in room.last_lengths(9)} == {MIN_S}


def test_where_the_shortest_step_is_the_longest_all_are_alike():
    pace = Pace(0.96, 0.96, 8)
    assert pace.step_s(0, 0.0) == 0.96
    pace.note_steps(500, 480.0, 5.0, 1.0)
    assert pace.step_s(500, 2.0) == 0.96


@pytest.mark.parametrize(
    ("model", "max_batch", "people"),
    [
        *((GPU, 64, people) for people in (1, 2, 5, 20, 50, 200, 500)),
        *((SLOW_GPU, 32, people) for people in (1, 5, 50, 200, 500)),
        *((CPU, 8, people) for people in (1, 2, 5, 20, 50)),
        *((SLOW_CPU, 8, people) for people in (1, 2, 4)),
        *((INSTANT, 8, people) for people in (1, 50, 500)),
    ],
)
def test_steps_settle_at_a_length_at_which_the_model_keeps_up_easily(model, max_batch, people):
    room = Room(*model, max_batch=max_batch)
    room.come(people)
    room.run(8)
    settled_s = room.length_s()
    room.run(6)
    assert room.share(6) < TARGET_SHARE + 0.12
    lengths = room.last_lengths(6)
    assert settled_s / 1.3 - 0.08 < room.length_s() < settled_s * 1.3 + 0.08
    assert max(lengths) < 1.6 * min(lengths) + 0.08
    late = [waited_s for at, waited_s in room.waits if at > room.now - 6 and waited_s > room.length_s()]
    assert len(late) <= 0.02 * len(lengths), "a step is done before the next one is due"


def test_steps_are_no_longer_than_the_load_needs():
    room = Room(*GPU)
    room.come(40)
    room.run(10)
    assert room.length_s() == MIN_S, "a batch of many costs little more than one of few"
    slow = Room(*SLOW_CPU, 8)
    slow.come(1)
    slow.run(10)
    assert slow.length_s() < 0.6


def test_however_many_speak_there_is_time_for_the_service_itself():
    room = Room(*INSTANT)
    room.come(200)
    room.run(10)
    steps_per_s = len(room.last_lengths(5)) / 5
    assert steps_per_s * SERVICE_STEP_S < 1.1 * SERVICE_SHARE
    assert room.length_s() < 1.0


def test_many_who_begin_at_once_are_caught_up_with_in_seconds():
    room = Room(*SLOW_GPU, 32)
    room.come(200, within_s=0.1)
    room.run(4)
    assert room.length_s() > 0.6
    room.run(3)
    waits = [waited_s for at, waited_s in room.waits if at > room.now - 2]
    assert max(waits) < room.length_s()


def test_more_than_the_model_can_do_gives_the_longest_steps():
    room = Room(*SLOW_CPU, 8)
    room.come(40)
    room.run(20)
    assert room.length_s() == MAX_S


def test_steps_get_long_beside_clips_that_take_the_whole_model_and_short_after_them():
    room = Room(*CPU, 8, clips_s=0.3)
    room.come(3)
    room.run(10)
    assert room.length_s() > 0.6
    alone = Room(*CPU, 8)
    alone.come(3)
    alone.run(10)
    assert alone.length_s() < 0.4
    room.clips_s = 0.0
    room.run(4 * LOAD_S)
    assert room.length_s() == alone.length_s()


def test_a_small_cost_stays_small_beside_clips():
    room = Room(*GPU, clips_s=0.05)
    room.come(1)
    room.run(10)
    assert room.length_s() <= 0.24


def test_after_a_rush_steps_are_short_again():
    room = Room(*SLOW_GPU, 32)
    room.come(300)
    room.run(10)
    assert room.length_s() > 0.8
    room.leave()
    room.run(8 * LOAD_S)
    room.come(1)
    room.run(1)
    assert room.length_s() < 0.3


def test_what_batches_cost_may_change():
    room = Room(*SLOW_CPU, 8)
    room.come(5)
    room.run(10)
    slow_s = room.length_s()
    room.batch_s, room.step_s = CPU
    room.run(30)
    fast_s = room.length_s()
    assert fast_s < slow_s
    room.batch_s, room.step_s = SLOW_CPU
    room.run(30)
    assert room.length_s() == pytest.approx(slow_s, abs=0.1)


def test_a_length_is_a_whole_number_of_frames():
    room = Room(*SLOW_GPU, 32)
    for _ in range(10):
        room.come(20)
        room.run(1)
        assert room.length_s() / 0.08 == pytest.approx(round(room.length_s() / 0.08))


def test_who_is_alone_or_among_few_waits_for_no_others():
    pace = Pace(MIN_S, MAX_S, 64)
    assert pace.gather_s(0.015, 0.0) == 0.0
    for step in range(50):
        pace.note_steps(1, 0.16, 0.015, step * 0.08)
    assert pace.gather_s(0.015, 4.0) == 0.0


def test_where_steps_come_often_a_batch_waits_for_about_as_long_as_the_last_one_took():
    pace = Pace(MIN_S, MAX_S, 64)
    for step in range(200):
        pace.note_steps(10, 1.6, 0.015, step * 0.02)
    assert pace.gather_s(0.03, 4.0) == 0.03
    assert pace.gather_s(2.0, 4.0) == MAX_GATHER_S
    assert pace.gather_s(0.0001, 4.0) == MIN_GATHER_S
    assert pace.gather_s(0.03, 60.0) == 0.0


def test_a_clock_that_stands_still_is_no_trouble():
    pace = Pace(MIN_S, MAX_S, 8)
    pace.note_steps(1, 0.16, 0.0, 0.0)
    pace.note_clips(0.0, 0.0)
    assert pace.step_s(1, 0.0) == MIN_S
    assert pace.step_s(1, 1e9) == MIN_S
