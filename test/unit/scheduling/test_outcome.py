"""What a caller gets back for a job: the result, and what it took (src.scheduling.outcome)."""

import asyncio

from fakes import clip
from scheduler_harness import VirtualModel, asking, running, settled
from virtual_time import in_virtual_time


@in_virtual_time
async def test_the_measured_times_add_up():
    async with running(VirtualModel(held=False, batch_s=2.0), lanes=1) as scheduler:
        first, second = await asyncio.gather(*asking(scheduler, clip(0), clip(1, seconds=9)))
    assert (first.queue_wait_s, first.inference_s) == (0, 2)
    assert (second.queue_wait_s, second.inference_s) == (2, 2)


@in_virtual_time
async def test_an_outcome_has_the_lane_and_the_size_of_its_batch():
    model = VirtualModel()
    async with running(model, lanes=1) as scheduler:
        first = asking(scheduler, clip(0))
        await model.next_started()
        others = asking(scheduler, clip(1), clip(2), clip(3))
        await settled()
        model.release_all()
        outcomes = await asyncio.gather(*first, *others)
    assert [(each.result.text, each.lane, each.batch_size) for each in outcomes] == [
        ("0", 0, 1),
        ("1", 0, 3),
        ("2", 0, 3),
        ("3", 0, 3),
    ]
