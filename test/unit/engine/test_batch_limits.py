"""How large batches are where nothing is set: by the memory of a GPU, and as ever on a CPU."""

import pytest

from src.engine.batch_limits import BatchLimits
from src.settings import Settings


@pytest.mark.parametrize(
    ("gpu_gb", "clips", "audio_s", "whole"),
    [
        (None, 8, 1200, ()),
        (8, 16, 480, (8, 16)),
        (24, 32, 960, (8, 16, 32)),
        (80, 64, 1920, (8, 16, 32, 64)),
        (141, 64, 1920, (8, 16, 32, 64)),
    ],
)
def test_batches_suit_the_memory_of_the_device(gpu_gb, clips, audio_s, whole):
    limits = BatchLimits.from_settings(Settings(), gpu_gb and round(gpu_gb * 1e9))
    assert limits == BatchLimits(clips, audio_s, whole)


def test_what_is_set_holds_on_any_device_and_the_rest_stays():
    for gpu_bytes in (None, 80_000_000_000):
        limits = BatchLimits.from_settings(Settings(microbatch_max_batch=12, microbatch_max_audio_s=100), gpu_bytes)
        assert (limits.max_clips, limits.max_audio_s) == (12, 100)
        assert limits.with_settings(Settings(microbatch_max_batch=12, microbatch_max_audio_s=100)) == limits
    limits = BatchLimits.from_settings(Settings(microbatch_max_batch=12), 80_000_000_000)
    assert (limits.max_clips, limits.max_audio_s, limits.preferred_sizes) == (12, 1920, (8,))
