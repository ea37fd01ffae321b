"""The size and the speed of the batches of the last seconds."""

from src.scheduling.recent_batches import RECENT_S, EndedBatch, RecentBatches


def batches_of(*ended: EndedBatch) -> RecentBatches:
    batches = RecentBatches()
    for each in ended:
        batches.add(each)
    return batches


def test_before_the_first_batch_nothing_is_known():
    batches = RecentBatches()
    assert (batches.mean_size(0.0), batches.audio_s_per_s) == (0, 0)


def test_the_size_is_the_mean_of_the_batches_of_the_last_seconds():
    batches = batches_of(EndedBatch(0.0, 8, 80, 1.0), EndedBatch(1.0, 2, 4, 1.0), EndedBatch(5.0, 2, 6, 1.0))
    assert batches.mean_size(5.0) == 4
    assert batches.mean_size(RECENT_S) == 2, "the first has ended too long ago"
    batches.add(EndedBatch(RECENT_S + 2, 6, 6, 1.0))
    assert batches.mean_size(RECENT_S + 2) == 4


def test_the_speed_is_that_of_all_of_them_together():
    batches = batches_of(EndedBatch(0.0, 8, 80, 1.0), EndedBatch(1.0, 2, 4, 3.0))
    assert batches.audio_s_per_s == 84 / 4
    assert batches.mean_size(RECENT_S) == 2
    assert batches.audio_s_per_s == 4 / 3


def test_a_model_that_is_idle_has_no_batch_size_and_keeps_its_speed():
    batches = batches_of(EndedBatch(0.0, 8, 80, 1.0), EndedBatch(1.0, 4, 60, 2.0))
    assert (batches.mean_size(100.0), batches.audio_s_per_s) == (0, 30)
    batches.add(EndedBatch(100.0, 1, 10, 1.0))
    assert (batches.mean_size(100.0), batches.audio_s_per_s) == (1, 10)
    assert (batches.mean_size(200.0), batches.audio_s_per_s) == (0, 10)
