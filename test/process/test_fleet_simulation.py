"""The simulated fleet: its traffic, its replicas, and that a seed always gives the same table."""

from itertools import islice

import fleet_simulation
import pytest
from fleet_replica import MAX_QUEUED_S, SETTINGS, SPEED, Replica
from fleet_traffic import MEAN_S, arrivals

LONG_S = 3600.0


def add(replica: Replica, audio_s: float, now: float = 0.0, ended: list[float] | None = None) -> None:
    """Send a file to a replica; its length is added to `ended` at its end."""
    file = replica.admit(audio_s, lambda: ended.append(audio_s) if ended is not None else None)
    if file:
        replica.add_clips(file, now)


def test_traffic_has_the_rate_that_is_asked_for_and_files_of_the_stated_mean_length():
    came = list(arrivals(uploads_per_s=200.0, sessions_per_s=2.0, until=500.0, seed=1))
    files = [each for each in came if not each.is_session]
    assert len(files) / 500 == pytest.approx(200, rel=0.1)
    assert (len(came) - len(files)) / 500 == pytest.approx(2, rel=0.1)
    assert sum(each.lasts_s for each in files) / len(files) == pytest.approx(MEAN_S, rel=0.1)
    assert [each.at for each in came] == sorted(each.at for each in came)


def test_a_file_of_an_hour_has_two_chunks_in_the_queue_and_others_go_in_between():
    replica, ended = Replica(), []
    add(replica, LONG_S, ended=ended)
    assert replica.queue.audio_s == 2 * SETTINGS.chunk_seconds
    now = 0.0
    add(replica, 5.0, ended=ended)
    while took_s := replica.begin_batch(now):
        now += took_s
        replica.end_batch(now)
    assert ended == [5.0, LONG_S]
    assert now > LONG_S / SPEED
    assert (replica.uploads, replica.full, replica.late) == (0, 0, 0)


def test_what_waits_too_long_is_late_and_what_has_no_slot_or_no_room_is_refused():
    replica, ended = Replica(), []
    for _ in range(replica.queue.slots + 1):
        add(replica, 1.0, ended=ended)
    assert (replica.full, len(ended)) == (1, 1)
    replica.begin_batch(0.0)
    replica.begin_batch(SETTINGS.max_queue_wait_s + 1)
    assert replica.late == replica.queue.slots - 64
    big = Replica()
    for _ in range(round(MAX_QUEUED_S / 100) + 2):
        add(big, 100.0)
    assert big.full == 2


def test_sessions_make_a_model_slower_up_to_their_share():
    took_s = []
    for sessions in (0, 500, 10**6):
        replica = Replica(sessions=sessions)
        add(replica, 30.0)
        took_s.append(replica.begin_batch(0.0))
    assert took_s[1] / took_s[0] == pytest.approx(1 / (1 - 500 * 4 / SPEED))
    assert took_s[2] / took_s[0] == pytest.approx(1 / 0.3)


def test_a_seed_gives_the_same_table_each_time(tmp_path, capsys):
    tables = []
    for seed in ("1", "1", "2"):
        argv = ["--replicas", "2", "--seconds", "1", "--seed", seed, "--results", str(tmp_path)]
        assert fleet_simulation.main(argv) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] != tables[2]
    assert [line.split()[0] for line in tables[0].splitlines()] == ["replicas"] + ["2"] * 10
    assert (tmp_path / "fleet_simulation.txt").read_text() == tables[2]


def test_the_first_arrivals_do_not_depend_on_how_long_they_come():
    short, long = (arrivals(100.0, 1.0, until, seed=3) for until in (10.0, 1000.0))
    assert list(islice(short, 20)) == list(islice(long, 20))
