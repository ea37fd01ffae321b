"""The shapes that the encoder is captured for, and how batches are dealt out to them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.engine.encoder.buckets import ALIGNMENT, Bucket, Buckets, aligned_frames, choose_buckets, max_padded_frames
from src.engine.encoder.sub_batches import Cost, split_batch
from src.engine.frames import SAMPLES_PER_FRAME
from src.engine.model import StepResult
from src.engine.windowing import Windowing
from src.realtime.live import LiveTranscript

H100_BYTES = 85e9
SECOND = 16_000

lengths_of_clips = st.lists(st.integers(1, 150 * SECOND), min_size=1, max_size=150)
some_buckets = st.sets(
    st.builds(Bucket, st.sampled_from((1, 2, 4, 8, 64)), st.integers(1, 190).map(lambda n: n * ALIGNMENT)), min_size=1
).map(Buckets)
costs = st.builds(Cost, st.floats(0, 1e-2), st.floats(0, 1e-5))


def padded(parts) -> int:
    return sum(part.bucket.clips * part.bucket.samples for part in parts)


@given(lengths_of_clips, some_buckets, costs)
def test_every_clip_is_in_one_part_whose_bucket_holds_it(lengths, buckets, cost):
    parts = split_batch(lengths, buckets, cost)
    assert sorted(clip for part in parts for clip in part.clips) == list(range(len(lengths)))
    for part in parts:
        assert len(part.clips) <= part.bucket.clips
        assert all(lengths[clip] <= part.bucket.samples for clip in part.clips)
        assert part.bucket in set(buckets) or (
            len(part.clips) == 1 and buckets.smallest_for(1, lengths[part.clips[0]]) is None
        )


@given(lengths_of_clips, some_buckets, costs)
def test_parts_never_cost_more_than_one_bucket_for_all(lengths, buckets, cost):
    one = buckets.smallest_for(len(lengths), max(lengths))
    if one is not None:
        parts = split_batch(lengths, buckets, cost)
        assert sum(cost.of(part.bucket) for part in parts) <= cost.of(one) * (1 + 1e-9)


@given(lengths_of_clips, some_buckets, costs, st.randoms(use_true_random=False))
def test_parts_are_the_same_each_time_and_as_dear_in_any_order(lengths, buckets, cost, chance):
    parts = split_batch(lengths, buckets, cost)
    assert split_batch(lengths, buckets, cost) == parts
    shuffled = chance.sample(lengths, len(lengths))
    assert [part.bucket for part in split_batch(shuffled, buckets, cost)] == [part.bucket for part in parts]


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), some_buckets, costs)
def test_no_other_way_to_deal_out_neighbours_is_cheaper(frames, buckets, cost):
    lengths = sorted((each * SAMPLES_PER_FRAME // 4 for each in frames), reverse=True)

    def cheapest(rest) -> float:
        if not rest:
            return 0.0
        ways = ((count, buckets.smallest_for(count, rest[0])) for count in range(1, len(rest) + 1))
        known = [cost.of(bucket) + cheapest(rest[count:]) for count, bucket in ways if bucket is not None]
        return min(known) if known else cost.of(Bucket(1, aligned_frames(rest[0]))) + cheapest(rest[1:])

    assert sum(cost.of(part.bucket) for part in split_batch(lengths, buckets, cost)) == pytest.approx(cheapest(lengths))


@given(some_buckets, st.integers(1, 70), st.integers(1, 130 * SECOND))
def test_the_bucket_for_clips_is_the_smallest_that_holds_them(buckets, clips, samples):
    fitting = [bucket.size for bucket in buckets if bucket.clips >= clips and bucket.samples >= samples]
    found = buckets.smallest_for(clips, samples)
    assert (found.size if found else None) == min(fitting, default=None)


@given(st.integers(0, 200 * SECOND))
def test_a_clip_fits_the_bucket_of_its_length_and_no_shorter_one(samples):
    frames = aligned_frames(samples)
    assert frames % ALIGNMENT == 0
    assert samples <= Bucket(1, frames).samples
    assert samples > Bucket(1, frames - ALIGNMENT).samples


def test_what_fits_no_bucket_is_alone_and_the_others_are_dealt_out():
    buckets = Buckets([Bucket(4, 64)])
    parts = split_batch([SECOND, 20 * SECOND, 2 * SECOND], buckets, Cost())
    assert [(part.clips, part.bucket) for part in parts] == [((1,), Bucket(1, 256)), ((2, 0), Bucket(4, 64))]


def test_clips_of_two_to_thirty_seconds_are_padded_by_a_sixth_instead_of_a_half():
    chance = random.Random(0)
    lengths = [round(chance.uniform(2, 30) * SECOND) for _ in range(128)]
    parts = split_batch(lengths, choose_buckets(120, 64, H100_BYTES), Cost())
    assert 1 - sum(lengths) / (len(lengths) * max(lengths)) > 0.4
    assert 1 - sum(lengths) / padded(parts) < 0.19


def test_many_clips_of_one_length_fill_the_largest_buckets():
    parts = split_batch([15 * SECOND] * 128, choose_buckets(120, 64, H100_BYTES), Cost())
    assert [part.bucket for part in parts] == [Bucket(64, 192)] * 2


@pytest.mark.parametrize(
    ("free_gb", "longest_s", "max_clips", "graphs", "largest"),
    [
        (85, 120, 64, 88, 16_384),
        (85, 30, 64, 68, 16_384),
        (85, 30, 8, 40, 3_072),
        (24, 120, 64, 78, 8_192),
        (11, 120, 64, 66, 4_096),
        (3, 10, 64, 19, 1_024),
    ],
)
def test_buckets_go_by_the_memory_that_is_free_the_longest_clip_and_the_largest_batch(
    free_gb, longest_s, max_clips, graphs, largest
):
    buckets = choose_buckets(longest_s, max_clips, free_gb * 1e9)
    sizes = [bucket.size for bucket in buckets]
    assert len(buckets) == graphs
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == largest
    assert buckets.smallest_for(1, round(longest_s * SECOND)) is not None


@pytest.mark.parametrize(("longest_s", "frames"), [(10, 128), (30, 384), (120, 1504), (300, 3752)])
def test_the_longest_clip_is_padded_to_no_more_frames_than_is_said(longest_s, frames):
    assert max_padded_frames(longest_s) == frames
    buckets = choose_buckets(longest_s, 1, H100_BYTES)
    assert max(bucket.frames for bucket in buckets) == min(frames, 1504)
    assert all(part.bucket.frames <= frames for part in split_batch([longest_s * SECOND], buckets, Cost()))


def windows_of(windowing: Windowing) -> set[int]:
    """The lengths, in frames, of the windows that a stream of a few minutes is decoded by."""
    live, found = LiveTranscript(windowing), set()
    for frames in range(2000):
        window = live.next_window(frames * SAMPLES_PER_FRAME)
        if window is not None:
            live.begin_step(window, None)
            live.finish_step(StepResult((), None))
            found.add((window.stop - window.start) // SAMPLES_PER_FRAME)
    return found


@pytest.mark.parametrize(
    "windowing",
    [Windowing(4.8, 0.96, 0.96), Windowing(0, 0.96, 0.96), Windowing(0.08, 0.08, 0), Windowing(3, 0.08, 0.2)],
    ids=str,
)
def test_live_windows_have_buckets_without_padding_but_for_alignment(windowing):
    assert set(windowing.window_frames) == windows_of(windowing)
    buckets = choose_buckets(120, 64, H100_BYTES, windowing.window_frames)
    for frames in sorted(windowing.window_frames)[-ALIGNMENT:]:
        for clips in (1, 32, 64):
            bucket = buckets.smallest_for(clips, frames * SAMPLES_PER_FRAME)
            assert bucket.clips == clips
            assert bucket.frames - frames <= ALIGNMENT


def test_short_steps_do_not_make_a_bucket_for_each_of_their_many_windows():
    many = Windowing(30, 0.08, 0.2).window_frames
    assert len(many) > 300
    assert len(choose_buckets(120, 64, H100_BYTES, many)) <= len(choose_buckets(120, 64, H100_BYTES)) + 8 * 7


def test_a_cost_goes_through_both_points_that_were_measured():
    cost = Cost.fit((32, 2e-3), (16_384, 50e-3))
    assert cost.of(Bucket(1, 32)) == pytest.approx(2e-3)
    assert cost.of(Bucket(64, 256)) == pytest.approx(50e-3)


def test_a_measurement_that_went_wrong_makes_no_part_free_of_frames_or_cheaper_than_nothing():
    assert Cost.fit((32, 2e-3), (1024, 1e-3)) == Cost(2e-3, 0.0)
    assert Cost.fit((512, 1e-3), (1024, 4e-3)).overhead_s == 0.0
