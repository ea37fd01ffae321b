"""Which replica is chosen: by rule, and what that does to a fleet under made-up traffic."""

from collections import Counter
from random import Random

import pytest
from fleet_replica import SPEED
from fleet_simulation import Case, simulate

from src.fleet.replica_load import ReplicaLoad
from src.fleet.routing import ranked

IDLE, BUSY = ReplicaLoad(), ReplicaLoad(queued_audio_s=1000.0, uploads=100)
TALKATIVE = ReplicaLoad(sessions=20, max_sessions=20)
AWAY = ReplicaLoad(is_ready=False)


def first(loads: dict[str, ReplicaLoad], is_session: bool, draws: int = 300) -> Counter[str]:
    """How often each replica is the first choice."""
    choice = Random(0)
    return Counter(ranked(list(loads), loads.__getitem__, is_session, choice)[0] for _ in range(draws))


def test_uploads_go_where_they_wait_less_and_sessions_where_fewer_are():
    loads = {"busy": BUSY, "talkative": TALKATIVE}
    assert first(loads, is_session=False) == {"talkative": 300}
    assert first(loads, is_session=True) == {"busy": 300}


def test_twenty_sessions_do_not_draw_uploads_away_nor_uploads_that_do_not_wait_a_session():
    loads = {"talkative": ReplicaLoad(sessions=20), "idle": IDLE}
    assert first(loads, is_session=False)["talkative"] == pytest.approx(150, abs=30)
    loads = {"uploading": ReplicaLoad(uploads=20), "idle": ReplicaLoad(sessions=1)}
    assert first(loads, is_session=True) == {"uploading": 300}


def test_a_slow_replica_gets_the_upload_only_if_it_has_less_to_do_by_its_own_speed():
    loads = {"slow": ReplicaLoad(100.0, audio_s_per_s=100.0), "fast": ReplicaLoad(300.0, audio_s_per_s=600.0)}
    assert first(loads, is_session=False) == {"fast": 300}


def test_what_takes_nothing_is_not_chosen_as_long_as_something_does():
    loads = {"full": TALKATIVE, "away": AWAY, "busy": BUSY, "idle": IDLE}
    assert first(loads, is_session=True) == {"idle": 300}
    assert "away" not in first(loads, is_session=False)
    assert first({"away": AWAY, "full": TALKATIVE}, is_session=True) == {"full": 300}, "it says why it is refused"


def test_there_is_one_choice_or_none_where_there_are_no_two_replicas():
    assert ranked(["a"], lambda _: IDLE, False, Random(0)) == ["a"]
    assert ranked([], lambda _: IDLE, False, Random(0)) == []


TWO = Case("twenty sessions", [SPEED, SPEED], [20, 0], load=0.1)
BESIDE_SLOW = Case("one slow", [SPEED, SPEED / 10], [20, 20], sessions_per_s=10.0, load=0.4)


def test_in_a_fleet_twenty_sessions_leave_their_replica_half_of_the_uploads():
    assert simulate(TWO, "two by audio", 20.0, seed=1).shares[0] == pytest.approx(0.5, abs=0.05)
    assert simulate(TWO, "least, sessions apart", 20.0, seed=1).shares[0] == pytest.approx(0.5, abs=0.05)
    assert simulate(TWO, "least requests", 20.0, seed=1).shares[0] < 0.1, "what the others are for"


def test_in_a_fleet_a_replica_that_is_busy_with_uploads_still_gets_its_half_of_the_sessions():
    assert simulate(BESIDE_SLOW, "two by audio", 10.0, seed=1).session_shares[1] == pytest.approx(0.5, abs=0.05)
    assert simulate(BESIDE_SLOW, "least, sessions apart", 10.0, seed=1).session_shares[1] == pytest.approx(
        0.5, abs=0.05
    )
