"""How batches are split into sub-batches of clips of similar length."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.engine.encoder.buckets import ALIGNMENT, Bucket, Buckets, aligned_frames, choose_buckets
from src.engine.encoder.sub_batches import Cost, split_batch, split_by_length
from src.engine.frames import SAMPLES_PER_FRAME

H100_BYTES = 85e9
SECOND = 16_000

lengths_of_clips = st.lists(st.integers(1, 150 * SECOND), min_size=1, max_size=150)
some_buckets = st.sets(
    st.builds(Bucket, st.sampled_from((1, 2, 4, 8, 64)), st.integers(1, 190).map(lambda n: n * ALIGNMENT)), min_size=1
).map(Buckets)
costs = st.builds(Cost, st.floats(0, 1e-2), st.floats(0, 1e-5))


def padded_samples(sub_batches) -> int:
    return sum(each.bucket.clips * each.bucket.samples for each in sub_batches)


@given(lengths_of_clips, some_buckets, costs)
def test_every_clip_is_in_one_sub_batch_whose_bucket_fits_it(lengths, buckets, cost):
    sub_batches = split_batch(lengths, buckets, cost)
    assert sorted(clip for each in sub_batches for clip in each.clips) == list(range(len(lengths)))
    for each in sub_batches:
        assert len(each.clips) <= each.bucket.clips
        assert all(lengths[clip] <= each.bucket.samples for clip in each.clips)
        assert each.bucket in set(buckets) or (
            len(each.clips) == 1 and buckets.smallest_for(1, lengths[each.clips[0]]) is None
        )


@given(lengths_of_clips, some_buckets, costs)
def test_sub_batches_never_cost_more_than_one_bucket_for_all(lengths, buckets, cost):
    one = buckets.smallest_for(len(lengths), max(lengths))
    if one is not None:
        sub_batches = split_batch(lengths, buckets, cost)
        assert sum(cost.seconds(each.bucket) for each in sub_batches) <= cost.seconds(one) * (1 + 1e-9)


@given(lengths_of_clips, some_buckets, costs, st.randoms(use_true_random=False))
def test_sub_batches_are_the_same_each_time_and_as_costly_in_any_order(lengths, buckets, cost, chance):
    sub_batches = split_batch(lengths, buckets, cost)
    assert split_batch(lengths, buckets, cost) == sub_batches
    shuffled = chance.sample(lengths, len(lengths))
    assert [each.bucket for each in split_batch(shuffled, buckets, cost)] == [each.bucket for each in sub_batches]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), some_buckets, costs)
def test_no_other_split_of_neighbours_is_cheaper(frames, buckets, cost):
    lengths = sorted((each * SAMPLES_PER_FRAME // 4 for each in frames), reverse=True)

    def cheapest(rest) -> float:
        if not rest:
            return 0.0
        ways = ((count, buckets.smallest_for(count, rest[0])) for count in range(1, len(rest) + 1))
        known = [cost.seconds(bucket) + cheapest(rest[count:]) for count, bucket in ways if bucket is not None]
        return min(known) if known else cost.seconds(Bucket(1, aligned_frames(rest[0]))) + cheapest(rest[1:])

    found = sum(cost.seconds(each.bucket) for each in split_batch(lengths, buckets, cost))
    assert found == pytest.approx(cheapest(lengths))


def test_a_clip_that_fits_no_bucket_is_alone_and_the_others_are_split():
    buckets = Buckets([Bucket(4, 64)])
    sub_batches = split_batch([SECOND, 20 * SECOND, 2 * SECOND], buckets, Cost())
    assert [(each.clips, each.bucket) for each in sub_batches] == [((1,), Bucket(1, 256)), ((2, 0), Bucket(4, 64))]


def test_clips_of_two_to_thirty_seconds_are_padded_by_a_sixth_instead_of_a_half():
    chance = random.Random(0)
    lengths = [round(chance.uniform(2, 30) * SECOND) for _ in range(128)]
    sub_batches = split_batch(lengths, choose_buckets(120, 64, H100_BYTES), Cost())
    assert 1 - sum(lengths) / (len(lengths) * max(lengths)) > 0.4
    assert 1 - sum(lengths) / padded_samples(sub_batches) < 0.19


def test_many_clips_of_one_length_fill_the_largest_buckets():
    sub_batches = split_batch([15 * SECOND] * 128, choose_buckets(120, 64, H100_BYTES), Cost())
    assert [each.bucket for each in sub_batches] == [Bucket(64, 192)] * 2


def test_a_cost_fits_both_measurements():
    cost = Cost.fit((32, 2e-3), (16_384, 50e-3))
    assert cost.seconds(Bucket(1, 32)) == pytest.approx(2e-3)
    assert cost.seconds(Bucket(64, 256)) == pytest.approx(50e-3)


def test_implausible_measurements_give_no_negative_cost():
    assert Cost.fit((32, 2e-3), (1024, 1e-3)) == Cost(2e-3, 0.0)
    assert Cost.fit((512, 1e-3), (1024, 4e-3)).overhead_s == 0.0


def test_clips_are_grouped_by_length_up_to_a_padded_size():
    assert split_by_length([5, 1, 9, 2, 2, 30], 10) == [[1, 3, 4], [0], [2], [5]]
    assert split_by_length([30], 10) == [[0]]


def test_on_a_cpu_clips_of_similar_length_share_a_sub_batch():
    assert split_by_length([5, 1, 9, 2, 2, 30], 10) == [[1, 3, 4], [0], [2], [5]]
    assert split_by_length([30], 10) == [[0]]
