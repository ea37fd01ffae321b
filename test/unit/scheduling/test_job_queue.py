"""The queue: order, batches, slots; and no sequence of operations loses a job (src.scheduling.job_queue)."""

import math

import numpy as np
import pytest
from hypothesis import settings as budget
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from src.engine.model import StreamStep
from src.errors import QueueFull
from src.scheduling.job_queue import JobQueue
from src.scheduling.jobs import Clip, Job, Kind, Priority, Slot
from src.scheduling.next_batch import SHORT_S, SIMILAR_LENGTH


def queue(*, slots=8, max_batch=4, max_batch_audio_s=1000.0, max_audio_s=1e9, preferred_sizes=()) -> JobQueue:
    return JobQueue(
        slots=slots,
        max_batch=max_batch,
        max_batch_audio_s=max_batch_audio_s,
        max_audio_s=max_audio_s,
        preferred_sizes=preferred_sizes,
    )


def job(slot: Slot, at=0.0, seconds=1.0, is_step=False, **how) -> Job:
    samples = np.zeros(round(seconds * 16_000), dtype=np.float32)
    return Job(StreamStep(samples, 0, 1, 0) if is_step else Clip(samples), slot, at, **how)


def pushed(queue: JobQueue, at=0.0, seconds=1.0, client=None, **how) -> Job:
    made = job(queue.reserve(client), at, seconds, **how)
    queue.push(made)
    return made


def test_like_jobs_of_one_kind_leave_in_the_order_of_their_arrival():
    waiting = queue(max_batch=3)
    jobs = [pushed(waiting, at=at) for at in (0.3, 0.1, 0.4, 0.2)]
    assert waiting.pop_batch(1).batch == [jobs[1], jobs[3], jobs[0]]
    assert waiting.pop_batch(1).batch == [jobs[2]]


def test_realtime_overtakes_uploads_and_uploads_overtake_chunks():
    waiting = queue(max_batch=1)
    kinds = (Kind.CHUNK, Kind.UPLOAD, Kind.REALTIME)
    chunk, upload, realtime = (pushed(waiting, at=at, kind=kind) for at, kind in enumerate(kinds))
    # The chunk came a second before the upload and two before the realtime step: exactly their head starts.
    late = [pushed(waiting, at=at - 0.01, kind=kind) for at, kind in enumerate(kinds)]
    order = [waiting.pop_batch(5).batch[0] for _ in range(6)]
    assert set(order[:3]) == set(late)
    assert set(order[3:]) == {chunk, upload, realtime}


def test_a_callers_priority_shifts_a_job_within_its_kind():
    waiting = queue(max_batch=1)
    low, normal, high = (pushed(waiting, priority=each) for each in (Priority.LOW, Priority.NORMAL, Priority.HIGH))
    realtime = pushed(waiting, kind=Kind.REALTIME, priority=Priority.LOW)
    assert [waiting.pop_batch(1).batch[0] for _ in range(4)] == [realtime, high, normal, low]


def test_a_client_that_asks_for_high_alone_is_ahead_of_others_with_half_a_batch():
    waiting = queue(slots=40, max_batch=4)
    eager = [pushed(waiting, at=0.1, client="eager", priority=Priority.HIGH) for _ in range(20)]
    modest = pushed(waiting, at=0.0, client="modest")
    other = pushed(waiting, at=0.2, client="other", priority=Priority.HIGH)
    assert waiting.pop_batch(1).batch == [*eager[:2], other, modest]
    again = pushed(waiting, at=0.3, client="eager", priority=Priority.HIGH)
    assert waiting.pop_batch(1).batch == [again, *eager[2:5]]


def test_a_stream_of_realtime_jobs_does_not_starve_a_chunk():
    waiting = queue(max_batch=1)
    chunk = pushed(waiting, at=0.0, kind=Kind.CHUNK, priority=Priority.LOW)
    for step in range(100):
        at = step * 0.1
        pushed(waiting, at=at, kind=Kind.REALTIME, priority=Priority.HIGH)
        if waiting.pop_batch(at).batch == [chunk]:
            break
    assert 0 < at < 3, "it waits for those that came within the difference of the head starts, and for no others"


def test_uploads_that_have_waited_for_half_of_their_time_are_served_beside_more_sessions_than_can_be():
    waiting = queue(slots=99, max_batch=2)
    uploads = [pushed(waiting, at=at / 10, deadline=2.0 + at / 10) for at in range(2)]
    items = [pushed(waiting, at=0.0, kind=Kind.REALTIME, priority=Priority.HIGH) for _ in range(20)]
    assert waiting.pop_batch(0.9).batch == items[:2]
    assert waiting.pop_batch(1.0).batch == items[2:4], "until then, sessions go first"
    assert waiting.pop_batch(1.0).batch == [uploads[0], items[4]]
    assert waiting.pop_batch(1.2).batch == items[5:7], "and every second batch is still theirs"
    late = pushed(waiting, at=1.2, kind=Kind.REALTIME, priority=Priority.HIGH)
    assert waiting.pop_batch(1.2).batch == [uploads[1], items[7]]
    assert [each for _ in range(7) for each in waiting.pop_batch(1.9).batch] == [*items[8:], late]


def test_of_many_late_uploads_half_a_batch_goes_first_at_a_time():
    waiting = queue(slots=99, max_batch=4)
    uploads = [pushed(waiting, at=0.0, deadline=2.0) for _ in range(5)]
    items = [pushed(waiting, at=0.0, kind=Kind.REALTIME) for _ in range(12)]
    assert waiting.pop_batch(1.5).batch == items[:4]
    assert waiting.pop_batch(1.5).batch == [*uploads[:2], *items[4:6]]
    assert waiting.pop_batch(1.5).batch == items[6:10]
    assert waiting.pop_batch(1.5).batch == [*uploads[2:4], *items[10:]]


def test_a_batch_takes_clips_of_like_length_and_leaves_the_others_their_turn():
    waiting = queue()
    first = pushed(waiting, at=0, seconds=10)
    long = pushed(waiting, at=1, seconds=25)
    like = pushed(waiting, at=2, seconds=6)
    assert waiting.pop_batch(3).batch == [first, like]
    assert waiting.pop_batch(3).batch == [long]


def test_the_padded_size_of_a_batch_has_a_cap_but_a_clip_beyond_it_runs_alone():
    waiting = queue(max_batch_audio_s=30)
    jobs = [pushed(waiting, at=at, seconds=seconds) for at, seconds in enumerate((40, 9, 12, 12))]
    assert waiting.pop_batch(9).batch == jobs[:1]
    assert waiting.has_full_batch, "a third clip would pad the batch to 36 s"
    assert waiting.pop_batch(9).batch == jobs[1:3]
    assert waiting.pop_batch(9).batch == jobs[3:]


def test_where_more_wait_than_the_model_takes_without_padding_a_whole_batch_goes():
    waiting = queue(slots=99, max_batch=32, preferred_sizes=(8, 16, 32))
    for at in range(32 + 16 + 8 + 1):
        pushed(waiting, at=at)
    assert [len(waiting.pop_batch(99).batch) for _ in range(4)] == [32, 16, 8, 1]
    again = [pushed(waiting, at=at) for at in range(12)]
    assert waiting.pop_batch(99).batch == again[:8], "in their order"
    late = pushed(waiting, at=20)
    assert waiting.pop_batch(99).batch == [*again[8:], late]
    assert waiting.held == 0


def test_steps_and_clips_are_never_in_one_batch_and_the_first_in_order_says_which_it_is():
    waiting = queue()
    jobs = [pushed(waiting, at=at, is_step=at in (0, 3, 4)) for at in range(6)]
    assert waiting.pop_batch(9).batch == [jobs[0], jobs[3], jobs[4]]
    assert waiting.pop_batch(9).batch == [jobs[1], jobs[2], jobs[5]]


def test_steps_do_not_starve_the_clip_that_ends_an_utterance():
    waiting = queue(max_batch=2)
    steps = [pushed(waiting, at=at, kind=Kind.REALTIME, is_step=True) for at in range(2)]
    final = pushed(waiting, at=2, kind=Kind.REALTIME)
    late = [pushed(waiting, at=at, kind=Kind.REALTIME, is_step=True) for at in range(3, 5)]
    assert [waiting.pop_batch(9).batch for _ in range(3)] == [steps, [final], late]


def test_late_steps_go_first_and_the_latest_of_them():
    waiting = queue(max_batch=1)
    late_s = (0.0, 0.1, 0.3, 0.2)
    steps = [pushed(waiting, at=0.0, kind=Kind.REALTIME, is_step=True, late_s=each) for each in late_s]
    assert [waiting.pop_batch(9).batch[0] for _ in range(4)] == [steps[2], steps[3], steps[1], steps[0]]


def test_lateness_keeps_nobody_waiting_for_long():
    waiting = queue(slots=99, max_batch=1)
    upload = pushed(waiting, at=0.0)
    final = pushed(waiting, at=0.0, kind=Kind.REALTIME, priority=Priority.HIGH)
    on_time = pushed(waiting, at=0.0, kind=Kind.REALTIME, is_step=True)
    early = pushed(waiting, at=0.1, kind=Kind.REALTIME, is_step=True, late_s=-5.0)
    late = [pushed(waiting, at=at / 10, kind=Kind.REALTIME, is_step=True, late_s=3600.0) for at in range(1, 20)]
    order = [waiting.pop_batch(9).batch[0] for _ in range(23)]
    assert order[0] is final, "a step overtakes what came before it by 0.4 s at most for its lateness"
    assert order.index(on_time) == 4 < order.index(early)
    assert late.index(order[order.index(upload) - 1]) in (12, 13), "uploads still wait for 1.4 s of steps at most"


def test_half_a_batch_of_a_clients_steps_is_in_order_and_the_rest_fill_what_is_left():
    waiting = queue(slots=40, max_batch=4)
    many = [pushed(waiting, at=at / 100, client="many", kind=Kind.REALTIME, is_step=True) for at in range(7)]
    other = pushed(waiting, at=5.0, client="other", kind=Kind.REALTIME, is_step=True)
    assert waiting.pop_batch(9).batch == [*many[:2], other, many[2]]
    late = pushed(waiting, at=5.1, client="another", kind=Kind.REALTIME, is_step=True)
    assert waiting.pop_batch(9).batch == [*many[3:5], late, many[5]]
    assert waiting.pop_batch(9).batch == many[6:]
    again = [pushed(waiting, at=6.0 + at, client="many", kind=Kind.REALTIME, is_step=True) for at in range(2)]
    last = pushed(waiting, at=9.0, client="other", kind=Kind.REALTIME, is_step=True)
    assert waiting.pop_batch(9).batch == [*again, last], "who has no more than half a batch waits in order"


def test_steps_that_are_held_back_let_uploads_go_first_but_never_starve():
    waiting = queue(slots=99, max_batch=2)
    many = [pushed(waiting, at=0.0, client="many", kind=Kind.REALTIME, is_step=True) for _ in range(4)]
    order = []
    for at in range(8):
        pushed(waiting, at=0.9 + at, client="uploader")
        order += waiting.pop_batch(9).batch
    assert order[:2] == many[:2], "a batch of steps has room for one that is held back"
    assert set(many) < set(order)


def test_steps_of_clients_without_a_name_are_not_held_back():
    waiting = queue(slots=40, max_batch=4)
    steps = [pushed(waiting, at=0.0, kind=Kind.REALTIME, is_step=True) for _ in range(6)]
    other = pushed(waiting, at=0.1, client="other", kind=Kind.REALTIME, is_step=True)
    assert waiting.pop_batch(9).batch == steps[:4]
    assert waiting.pop_batch(9).batch == [*steps[4:], other]


def test_while_steps_are_gathered_clips_go_and_a_full_batch_of_steps_ends_it():
    waiting = queue(slots=40, max_batch=3)
    waiting.gather_steps(True)
    steps = [pushed(waiting, kind=Kind.REALTIME, is_step=True) for _ in range(2)]
    assert not waiting.has_batch
    assert waiting.pop_batch(0).batch == []
    clip = pushed(waiting)
    assert waiting.has_batch
    assert not waiting.has_batch_of_steps
    assert waiting.pop_batch(0).batch == [clip]
    steps.append(pushed(waiting, kind=Kind.REALTIME, is_step=True))
    assert waiting.has_full_batch
    assert waiting.pop_batch(0).batch == steps
    waiting.gather_steps(True)
    last = pushed(waiting, kind=Kind.REALTIME, is_step=True)
    assert not waiting.has_batch
    waiting.gather_steps(False)
    assert waiting.pop_batch(0).batch == [last]


def test_jobs_past_their_deadline_leave_apart_from_the_batch():
    waiting = queue()
    late = pushed(waiting, at=0, deadline=2)
    timely = pushed(waiting, at=1, deadline=3)
    popped = waiting.pop_batch(2)
    assert (popped.batch, popped.expired) == ([timely], [late])


def test_a_place_is_taken_from_arrival_until_the_job_leaves_the_queue():
    waiting = queue(slots=2)
    slot = waiting.reserve()
    pushed(waiting)
    with pytest.raises(QueueFull):
        waiting.reserve()
    waiting.pop_batch(0)
    other = waiting.reserve()
    with pytest.raises(QueueFull):
        waiting.reserve()
    waiting.release(slot)
    waiting.release(other)
    assert waiting.held == waiting.preparing == 0


def test_decoded_audio_is_bounded_but_one_clip_may_always_wait():
    waiting = queue(max_audio_s=10)
    pushed(waiting, seconds=20)
    slot = waiting.reserve()
    with pytest.raises(QueueFull):
        waiting.push(job(slot, seconds=1))
    assert waiting.preparing == 1, "the refused request still holds its place"
    waiting.release(slot)
    assert waiting.held == 1


class AnySequence(RuleBasedStateMachine):
    """Any sequence of operations leaves every job in one of four places and every reservation accounted for."""

    slots = Bundle("places")
    jobs = Bundle("jobs")

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.queue = queue(slots=5, max_batch=3, max_batch_audio_s=20, max_audio_s=30)
        self.preparing: set[Slot] = set()
        self.inside: set[Job] = set()
        self.left: set[Job] = set()

    @rule(target=slots)
    def reserve(self):
        held = len(self.preparing) + len(self.inside)
        if held == 5:
            with pytest.raises(QueueFull):
                self.queue.reserve()
            return Slot(held=False)
        slot = self.queue.reserve()
        self.preparing.add(slot)
        return slot

    @rule(slot=consumes(slots))
    def release(self, slot):
        self.queue.release(slot)
        self.preparing.discard(slot)

    @rule(
        target=jobs,
        slot=consumes(slots),
        seconds=st.floats(0.1, 40),
        kind=st.sampled_from(Kind),
        priority=st.sampled_from(Priority),
        patience=st.sampled_from([0.5, 2.0, math.inf]),
        is_step=st.booleans(),
    )
    def push(self, slot, seconds, kind, priority, patience, is_step):
        made = job(slot, self.now, seconds, is_step, deadline=self.now + patience, kind=kind, priority=priority)
        if slot not in self.preparing:
            return made
        try:
            self.queue.push(made)
        except QueueFull:
            assert self.queue.audio_s + made.audio_s > 30
            self.queue.release(slot)
        else:
            self.inside.add(made)
        self.preparing.discard(slot)
        return made

    @rule(which=jobs)
    def drop(self, which):
        assert self.queue.drop(which) == (which in self.inside)
        self.inside.discard(which)

    @rule(later=st.floats(0, 1))
    def pop(self, later):
        self.now += later
        popped = self.queue.pop_batch(self.now)
        gone = popped.batch + popped.expired
        assert len(set(gone)) == len(gone)
        assert set(gone) <= self.inside
        self.inside -= set(gone)
        assert all(each.deadline <= self.now for each in popped.expired)
        assert all(each.deadline > self.now for each in [*popped.batch, *self.inside])
        self.check_batch(popped.batch)

    def check_batch(self, batch):
        assert bool(batch) or not self.inside, "whoever waits is served"
        if not batch:
            return
        lengths = [each.audio_s for each in batch]
        assert len(batch) <= 3
        assert len({type(each.work) for each in batch}) == 1
        assert len(batch) == 1 or max(lengths) * len(batch) <= 20
        assert max(lengths) <= SIMILAR_LENGTH * max(min(lengths), SHORT_S) or len(batch) == 1
        assert batch == sorted(batch, key=lambda each: each.rank)
        assert all(batch[0].rank <= each.rank for each in self.inside), "the first in order always goes"

    @invariant()
    def everything_is_accounted_for(self):
        assert len(self.queue) == len(self.inside)
        assert self.queue.preparing == len(self.preparing)
        assert self.queue.held == len(self.preparing) + len(self.inside) <= 5
        assert self.queue.audio_s == pytest.approx(sum(each.audio_s for each in self.inside))


TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = budget(max_examples=80, stateful_step_count=40)
