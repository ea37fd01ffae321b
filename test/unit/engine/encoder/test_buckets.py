"""The shapes that the encoder has CUDA graphs for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.engine.encoder.buckets import (
    ALIGNMENT,
    Bucket,
    Buckets,
    aligned,
    aligned_frames,
    choose_buckets,
    max_padded_frames,
)
from src.engine.encoder.sub_batches import Cost, split_batch
from src.engine.frames import SAMPLES_PER_FRAME
from src.engine.windowing import Windowing

H100_BYTES = 85e9
SECOND = 16_000

some_buckets = st.sets(
    st.builds(Bucket, st.sampled_from((1, 2, 4, 8, 64)), st.integers(1, 190).map(lambda n: n * ALIGNMENT)), min_size=1
).map(Buckets)


@given(some_buckets, st.integers(1, 70), st.integers(1, 130 * SECOND))
def test_the_bucket_for_clips_is_the_smallest_that_fits_them(buckets, clips, samples):
    fitting = [bucket.total_frames for bucket in buckets if bucket.clips >= clips and bucket.samples >= samples]
    found = buckets.smallest_for(clips, samples)
    assert (found.total_frames if found else None) == min(fitting, default=None)


@given(st.integers(0, 200 * SECOND))
def test_a_clip_fits_the_bucket_of_its_length_and_no_shorter_one(samples):
    frames = aligned_frames(samples)
    assert frames % ALIGNMENT == 0
    assert samples <= Bucket(1, frames).samples
    assert samples > Bucket(1, frames - ALIGNMENT).samples


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
def test_buckets_depend_on_the_free_memory_the_longest_clip_and_the_largest_batch(
    free_gb, longest_s, max_clips, graphs, largest
):
    buckets = choose_buckets(longest_s, max_clips, free_gb * 1e9)
    sizes = [bucket.total_frames for bucket in buckets]
    assert len(buckets) == graphs
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == largest
    assert buckets.smallest_for(1, round(longest_s * SECOND)) is not None


@pytest.mark.parametrize(("longest_s", "frames"), [(10, 128), (30, 384), (120, 1504), (300, 3752)])
def test_the_longest_clip_is_padded_to_no_more_frames_than_is_said(longest_s, frames):
    assert max_padded_frames(longest_s) == frames
    buckets = choose_buckets(longest_s, 1, H100_BYTES)
    assert max(bucket.frames for bucket in buckets) == min(frames, 1504)
    assert all(each.bucket.frames <= frames for each in split_batch([longest_s * SECOND], buckets, Cost()))


@pytest.mark.parametrize(
    "windowing",
    [Windowing(4.8, 0.96, 0.96), Windowing(0, 0.96, 0.96), Windowing(0.08, 0.08, 0), Windowing(3, 0.08, 0.2)],
    ids=str,
)
def test_live_windows_have_buckets_without_padding_but_for_alignment(windowing):
    buckets = choose_buckets(120, 64, H100_BYTES, windowing.window_frames)
    for frames in sorted(windowing.window_frames)[-ALIGNMENT:]:
        for clips in (1, 32, 64):
            bucket = buckets.smallest_for(clips, frames * SAMPLES_PER_FRAME)
            assert bucket.clips == clips
            assert bucket.frames - frames <= ALIGNMENT


def test_short_steps_do_not_get_a_bucket_for_each_of_their_many_windows():
    many = Windowing(30, 0.08, 0.2).window_frames
    assert len(many) > 300
    assert len(choose_buckets(120, 64, H100_BYTES, many)) <= len(choose_buckets(120, 64, H100_BYTES)) + 8 * 7


def test_windows_of_any_length_share_buckets_of_which_the_longest_are_dense():
    lengths = range(14, 97)  # as steps of any length have them: up to 4.8 s before, 1.92 s taken, 0.96 s after
    buckets = choose_buckets(120, 64, H100_BYTES, lengths)
    assert len(buckets) == len(choose_buckets(120, 64, H100_BYTES)) + 6 * 7
    for clips in (1, 64):
        found = {buckets.smallest_for(clips, frames * SAMPLES_PER_FRAME).frames for frames in lengths}
        assert found == {32, 48, 56, 64, 72, 80, 88, 96, 104}


def test_sizes_are_rounded_up_to_the_alignment():
    assert [aligned(size) for size in (0, 1, 8, 9)] == [0, 8, 8, 16]
    assert [aligned(size, 3) for size in (3, 4)] == [3, 6]
