"""Limits on batches: defaults by the memory of the device, and what the settings override."""

import pytest

from src.engine.batch_limits import BatchLimits, preferred_batch_size
from src.settings import Settings


@pytest.mark.parametrize(
    ("gpu_gb", "clips", "audio_s", "preferred_sizes"),
    [
        (None, 8, 1200, ()),
        (8, 16, 480, (8, 16)),
        (24, 32, 960, (8, 16, 32)),
        (80, 64, 1920, (8, 16, 32, 64)),
        (141, 64, 1920, (8, 16, 32, 64)),
    ],
)
def test_the_defaults_suit_the_memory_of_the_device(gpu_gb, clips, audio_s, preferred_sizes):
    limits = BatchLimits.from_settings(Settings(), gpu_gb and round(gpu_gb * 1e9))
    assert limits == BatchLimits(clips, audio_s, preferred_sizes)


def test_settings_override_the_defaults_of_any_device():
    for gpu_bytes in (None, 80_000_000_000):
        limits = BatchLimits.from_settings(Settings(microbatch_max_batch=12, microbatch_max_audio_s=100), gpu_bytes)
        assert (limits.max_clips, limits.max_audio_s) == (12, 100)
        assert limits.with_settings(Settings(microbatch_max_batch=12, microbatch_max_audio_s=100)) == limits
    limits = BatchLimits.from_settings(Settings(microbatch_max_batch=12), 80_000_000_000)
    assert (limits.max_clips, limits.max_audio_s, limits.preferred_sizes) == (12, 1920, (8,))


@pytest.mark.parametrize(
    ("waiting", "sizes", "taken"),
    [(3, (8, 16), 3), (8, (8, 16), 8), (15, (8, 16), 8), (40, (8, 16), 16), (40, (), 40)],
)
def test_more_clips_than_the_smallest_preferred_size_are_taken_in_a_preferred_size(waiting, sizes, taken):
    assert preferred_batch_size(waiting, sizes) == taken


def test_the_log_has_the_limits():
    assert str(BatchLimits(8, 1200.0)) == "at most 8 clips and 1200 s of audio"
