"""How memory is divided (src.memory.plan). What keeps to it: service/test_memory_plan.py."""

from src.memory.plan import AUDIO_BYTES_PER_S, MIB, MemoryPlan
from src.settings import Settings

GIB = 1024 * MIB


def test_what_is_unset_is_a_share_of_the_machine():
    small, large = (MemoryPlan.of(Settings(), size * GIB) for size in (3, 512))
    assert (small.uploads, large.uploads) == (384 * MIB, 2048 * MIB)
    for plan, size in ((small, 3), (large, 512)):
        assert plan.uploaded_audio + plan.session_audio + plan.messages + plan.reading == size * GIB // 4
    assert small.queued_audio_s == 768 * MIB / AUDIO_BYTES_PER_S
    assert large.queued_audio_s == 14_400
    assert MemoryPlan.of(Settings(), 64 * MIB).uploads == 64 * MIB, "one upload at least"


def test_what_is_set_stays_as_it_is():
    settings = Settings(max_audio_mb=100, max_uploads_mb=5000, max_queued_audio_s=7)
    for size in (1, 64):
        plan = MemoryPlan.of(settings, size * GIB)
        assert (plan.uploads, plan.uploaded_audio, plan.queued_audio_s) == (5000 * MIB, 50 * MIB, 7)
        assert plan.session_audio == plan.messages + plan.reading == 25 * MIB


def test_the_log_says_the_plan_in_mib():
    plan = MemoryPlan.of(Settings(), 8 * GIB)
    assert str(plan) == (
        "uploads 1024 MiB, their audio 1024 MiB, audio of sessions 512 MiB, their messages 512 MiB, "
        "decode workers 2048 MiB"
    )
