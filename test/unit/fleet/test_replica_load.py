"""What a report says about the wait of an upload."""

import math

import pytest

from src.fleet.replica_load import MAX_AGE_S, UPLOAD_AUDIO_S, ReplicaLoad


def test_a_report_is_read_by_its_names_and_what_is_missing_is_that_of_an_idle_replica():
    report = {
        "queued_audio_s": 30.0,
        "running_audio_s": 10.0,
        "uploads": 4,
        "sessions": 3,
        "max_sessions": 5,
        "audio_s_per_s": 200.0,
        "ready": False,
        "batch_size": 7.0,
    }
    assert ReplicaLoad.from_report(report) == ReplicaLoad(40.0, 4, 3, 5, 200.0, is_ready=False)
    assert ReplicaLoad.from_report({}) == ReplicaLoad()


@pytest.mark.parametrize(
    ("load", "wait_s"),
    [
        (ReplicaLoad(), 0.0),
        (ReplicaLoad(300.0, audio_s_per_s=100.0), 3.0),
        (ReplicaLoad(300.0), 6.0),
        (ReplicaLoad(300.0, audio_s_per_s=100.0, age_s=1.0), 2.0),
        (ReplicaLoad(300.0, audio_s_per_s=100.0, age_s=5.0), 0.0),
        (ReplicaLoad(3e6, audio_s_per_s=100.0, age_s=MAX_AGE_S + 1), 0.0),
        (ReplicaLoad(0.0, audio_s_per_s=100.0, uploads_since=5), 5 * UPLOAD_AUDIO_S / 100),
        (ReplicaLoad(0.0, 20, 20, audio_s_per_s=100.0), 0.0),
    ],
    ids=["idle", "a queue", "unknown speed", "half a second later", "worked off", "silent", "sent since", "sessions"],
)
def test_an_upload_waits_for_the_audio_that_is_queued_and_not_for_sessions(load, wait_s):
    assert load.upload_wait_s(usual_speed=50.0) == pytest.approx(wait_s)


def test_a_replica_takes_uploads_when_it_is_ready_and_sessions_while_it_has_room():
    full = ReplicaLoad(sessions=3, sessions_since=1, max_sessions=4)
    assert full.takes(is_session=False)
    assert not full.takes(is_session=True)
    assert not ReplicaLoad(is_ready=False).takes(is_session=False)
    assert ReplicaLoad(sessions=10**6, max_sessions=math.inf).takes(is_session=True)
