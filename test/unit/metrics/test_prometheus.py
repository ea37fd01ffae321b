"""The file for node_exporter: it follows the log, and its counters never fall."""

import json
import os
import random
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
from day_of_traffic import day_of_traffic
from exposition_parser import parse, value
from records import NOW, a_failure, a_record, write_log

from src.metrics import prometheus
from src.metrics.load import Load, LoadFile
from src.metrics.log_set import LogSet

PROJECT = Path(__file__).parents[3]


def update_file(target: Path, *logs: Path) -> bool:
    """Bring the file up to date with logs, at the time of their last lines."""
    return prometheus.update_file(target, LogSet(logs), NOW)


@pytest.fixture
def log(tmp_path) -> Path:
    return write_log(tmp_path / "log" / "metrics.log", [a_record(NOW), a_failure(429, "queue_full", NOW + 1)])


@pytest.fixture
def target(tmp_path) -> Path:
    return tmp_path / "parakeet.prom"


def append(path: Path, *records) -> None:
    with path.open("a") as file:
        file.write("".join(record.to_line() + "\n" for record in records))


def requests(target: Path) -> float:
    return value(parse(target.read_text()), "parakeet_requests_total")


def test_each_line_is_counted_once_however_often_the_file_is_brought_up_to_date(log, target):
    for _ in range(2):
        assert update_file(target, log)
        assert requests(target) == 2
    append(log, a_record())
    for _ in range(2):
        assert update_file(target, log)
        assert requests(target) == 3


def test_the_logs_of_replicas_are_counted_together_also_once_more_are_there(tmp_path, target):
    logs = [write_log(tmp_path / name / "metrics.log", [a_record(replica=name, request_id=name)]) for name in "abc"]
    update_file(target, logs[0])
    assert requests(target) == 1
    for _ in range(2):
        update_file(target, *logs)
        assert requests(target) == 3
    append(logs[1], a_record(replica="b"))
    update_file(target, tmp_path, logs[1])
    assert requests(target) == 4


def test_the_load_of_processes_that_run_is_told_and_no_other(log, target):
    load = Load(7.5, 0, uploads=0, sessions=2, max_sessions=9, batch_size=3, audio_s_per_s=0, ready=True)
    LoadFile(log, NOW - 60, "a").write(load, NOW - 5)
    LoadFile(log, NOW - 60, "killed").write(load, NOW - 600)
    update_file(target, log)
    samples = parse(target.read_text())
    assert value(samples, "parakeet_queued_audio_seconds") == 7.5
    assert value(samples, "parakeet_open_sessions", replica="a", service="parakeet") == 2
    assert value(samples, "parakeet_recent_batch_size", replica="a") == 3


def test_a_file_of_the_version_before_is_counted_on(log, target):
    update_file(target, log)
    before, _, state = target.read_text().rpartition(prometheus.STATE)
    version, counters, offsets = json.loads(state)
    assert version == 2
    counters[3] = NOW - 50
    target.write_text(before + prometheus.STATE + json.dumps([1, counters, offsets]) + "\n")
    assert update_file(target, log)
    assert requests(target) == 2
    assert value(parse(target.read_text()), "parakeet_process_start_time_seconds") == NOW - 50


def test_a_line_that_is_being_written_is_counted_when_it_is_whole(log, target):
    line = a_record().to_line() + "\n"
    with log.open("a") as file:
        file.write(line[:80])
    update_file(target, log)
    assert requests(target) == 2
    with log.open("a") as file:
        file.write(line[80:])
    update_file(target, log)
    assert requests(target) == 3
    assert value(parse(target.read_text()), "parakeet_log_skipped_lines_total") == 0


def test_counters_do_not_fall_when_rotation_deletes_days(log, target):
    update_file(target, log)
    log.rename(log.with_name("metrics.log.2026-11-18"))
    write_log(log, [a_record(NOW + 2, request_id="b")])
    update_file(target, log)
    assert requests(target) == 3
    log.with_name("metrics.log.2026-11-18").unlink()
    log.rename(log.with_name("metrics.log.2026-11-19"))
    write_log(log, [a_record(NOW + 3, request_id="c")])
    update_file(target, log)
    assert requests(target) == 4


def test_a_file_that_was_emptied_and_one_that_is_put_back_are_known_by_their_first_line(log, target):
    update_file(target, log)
    copy = log.read_bytes()
    write_log(log, [a_record(NOW + 2, request_id="b")])
    update_file(target, log)
    assert requests(target) == 3
    log.with_name("metrics.log.2026-11-18").write_bytes(copy)
    update_file(target, log)
    assert requests(target) == 3


def test_whatever_happens_between_runs_every_counter_only_grows(tmp_path, target):
    chance = random.Random(3)
    path = tmp_path / "log" / "metrics.log"
    records = day_of_traffic(NOW, per_hour=20)
    write_log(path, [])
    before: dict = {}
    days: list[Path] = []
    numbers = count()
    while records:
        append(path, *records[:15])
        del records[:15]
        if chance.random() < 0.4 and path.stat().st_size:
            days.append(path.rename(path.with_name(f"metrics.log.2026-11-17.{next(numbers)}")))
            path.touch()
        if len(days) > 3:
            days.pop(0).unlink()
        update_file(target, path)
        samples = parse(target.read_text())
        assert {key for key, number in before.items() if samples[key] < number} == set()
        before = samples
    assert requests(target) == len(day_of_traffic(NOW, per_hour=20))


def test_the_files_of_one_folder_have_no_series_in_common(log, tmp_path):
    found = []
    for name in ("gpu0.prom", "gpu1.prom"):
        update_file(tmp_path / name, log)
        found.append(parse((tmp_path / name).read_text()))
    assert not found[0].keys() & found[1].keys()
    assert {dict(labels)["service"] for _, labels in found[1]} == {"gpu1"}


def test_lines_that_cannot_be_read_are_counted_apart(log, target):
    log.write_text("broken\n" + log.read_text() + "{}\n")
    for _ in range(2):
        update_file(target, log)
        assert value(parse(target.read_text()), "parakeet_log_skipped_lines_total") == 2
        assert requests(target) == 2


def test_an_empty_log_makes_a_valid_file(tmp_path, target):
    update_file(target, write_log(tmp_path / "metrics.log", []))
    assert requests(target) == 0


@pytest.mark.parametrize(
    "content", ["something else\n", "# parakeet_state [1]\n", "# parakeet_state [9,[],{}]\n", "\n"]
)
def test_a_file_of_something_else_is_replaced_and_that_is_told(log, target, content):
    target.write_text(content)
    assert not update_file(target, log)
    assert requests(target) == 2
    assert update_file(target, log)


def test_a_log_that_does_not_exist_leaves_the_file_alone(log, target):
    update_file(target, log)
    before = target.read_bytes()
    log.unlink()
    with pytest.raises(FileNotFoundError):
        update_file(target, log)
    assert target.read_bytes() == before


def test_a_pipe_is_no_log_that_can_be_read_on(tmp_path, target):
    pipe = tmp_path / "metrics.log"
    os.mkfifo(pipe)
    with (
        subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'w').close()"]),
        pytest.raises(OSError, match="pipe"),
    ):
        update_file(target, pipe)
    assert not target.exists()


def test_runs_at_the_same_time_count_nothing_twice_and_lose_nothing(log, target):
    command = [sys.executable, "-m", "src.metrics", "--file", str(log), "--prometheus", str(target)]
    runs = [subprocess.Popen(command, cwd=PROJECT) for _ in range(3)]
    assert [run.wait(300) for run in runs] == [0, 0, 0]
    assert requests(target) == 2
    assert [path.name for path in target.parent.iterdir() if path.is_file()] == ["parakeet.prom"]
