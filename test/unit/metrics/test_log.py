import json
import logging.config
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from records import a_record

from src.metrics import MetricsLog
from src.metrics.log import MAX_BACKLOG
from src.metrics.process_ends import ends_path, read_ends

SPEC_KEYS = [
    "ts",
    "status",
    "code",
    "audio_len_s",
    "duration_preprocess_s",
    "duration_inference_s",
    "duration_total_s",
    "queue_wait_s",
    "model",
]


@pytest.fixture
def log(tmp_path):
    log = MetricsLog(tmp_path)
    yield log
    log.close()


def write(log: MetricsLog, *ids: str) -> None:
    for each in ids:
        log.write(a_record(request_id=each))
    log.flush()


def ids_in(path) -> list[str]:
    return [json.loads(line)["request_id"] for line in path.read_text().splitlines()]


def days_ago(days: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}"


def test_a_record_is_one_json_object_a_line_with_the_keys_of_the_spec_first(log, tmp_path):
    write(log, "a", "b")
    lines = (tmp_path / "metrics" / "metrics.log").read_text().splitlines()
    assert len(lines) == 2
    assert list(json.loads(lines[0]))[: len(SPEC_KEYS)] == SPEC_KEYS
    assert list(json.loads(lines[0]))[len(SPEC_KEYS) :] == ["request_id", "route", "lane", "batch_size", "error"]


# Writing


def test_close_writes_what_is_queued_and_what_comes_later_is_counted_as_lost(tmp_path):
    log = MetricsLog(tmp_path)
    for number in range(1000):
        log.write(a_record(request_id=str(number)))
    log.close()
    log.close()
    assert ids_in(log.path) == [str(number) for number in range(1000)]
    assert log.failures == 0
    log.write(a_record())
    log.flush()
    assert log.failures == 1


def test_records_are_written_soon_though_nobody_asks_for_it(log):
    with ThreadPoolExecutor(1) as reader:
        log.path.parent.mkdir()
        os.mkfifo(log.path)
        first = reader.submit(first_line_of, log.path)
        log.write(a_record(request_id="alone"))
        assert json.loads(first.result(timeout=300))["request_id"] == "alone"


def first_line_of(path) -> str:
    with path.open() as file:
        return file.readline()


def test_what_comes_together_is_written_at_once(tmp_path, monkeypatch):
    written: list[Any] = []
    write_to_disk = os.write
    monkeypatch.setattr(
        "src.metrics.rotated_file.os.write", lambda fd, data: written.append(data) or write_to_disk(fd, data)
    )
    monkeypatch.setattr("src.metrics.log.BATCH_S", 60)
    log = MetricsLog(tmp_path)
    for number in range(1000):
        log.write(a_record(request_id=str(number)))
    log.close()
    assert ids_in(log.path) == [str(number) for number in range(1000)]
    assert len(written) == 1


def test_records_written_by_many_threads_and_two_logs_all_arrive_whole(tmp_path):
    logs = [MetricsLog(tmp_path), MetricsLog(tmp_path)]
    with ThreadPoolExecutor(8) as threads:
        for number in range(2000):
            threads.submit(logs[number % 2].write, a_record(request_id=str(number)))
    for log in logs:
        log.close()
    assert sorted(map(int, ids_in(log.path))) == list(range(2000))


def test_a_record_that_cannot_be_written_as_json_costs_only_itself(log):
    log.write(a_record(lane=object()))
    write(log, "next")
    assert log.failures == 1
    assert ids_in(log.path) == ["next"]


def test_logging_that_is_configured_or_shut_down_by_others_does_not_disturb_the_log(log):
    write(log, "before")
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    write(log, "between")
    logging.shutdown()
    write(log, "after")
    assert ids_in(log.path) == ["before", "between", "after"]
    assert log.failures == 0


def test_the_log_adds_nothing_to_the_loggers_of_the_process(tmp_path):
    before = set(logging.root.manager.loggerDict), list(logging.root.handlers)
    log = MetricsLog(tmp_path)
    write(log, "a")
    log.close()
    assert (set(logging.root.manager.loggerDict), list(logging.root.handlers)) == before


# Days


def test_a_file_of_an_earlier_day_is_put_aside_under_its_date(tmp_path):
    first = MetricsLog(tmp_path)
    write(first, "old")
    first.close()
    two_days_ago = time.time() - 2 * 86400
    os.utime(first.path, (two_days_ago, two_days_ago))

    second = MetricsLog(tmp_path)
    write(second, "new")
    second.close()
    assert ids_in(second.path) == ["new"]
    assert ids_in(second.path.with_name(f"metrics.log.{days_ago(2)}")) == ["old"]


def test_seven_earlier_days_are_kept(tmp_path):
    folder = tmp_path / "metrics"
    folder.mkdir()
    for day in range(1, 11):
        (folder / f"metrics.log.{days_ago(day + 1)}").touch()
    (folder / "metrics.log").write_text(a_record().to_line() + "\n")
    yesterday = time.time() - 86400
    os.utime(folder / "metrics.log", (yesterday, yesterday))

    log = MetricsLog(tmp_path)
    write(log, "new")
    log.close()
    assert sorted(os.listdir(folder)) == sorted(
        ["metrics.log", *(f"metrics.log.{days_ago(day)}" for day in range(1, 8))]
    )


def test_a_day_that_is_put_aside_twice_loses_nothing(tmp_path):
    yesterday = time.time() - 86400
    for name in ("first", "second"):
        log = MetricsLog(tmp_path)
        write(log, name)
        log.close()
        os.utime(log.path, (yesterday, yesterday))
    log = MetricsLog(tmp_path)
    write(log, "third")
    log.close()
    parts = [path.read_text() for path in log.path.parent.iterdir()]
    assert len(parts) == 3
    assert sorted(json.loads(part)["request_id"] for part in parts) == ["first", "second", "third"]


def test_a_file_that_someone_else_put_aside_is_left_alone_and_a_new_one_begun(log):
    write(log, "before")
    aside = log.path.rename(log.path.with_name("metrics.log.2026-11-22"))
    write(log, "after")
    assert ids_in(aside) == ["before"]
    assert ids_in(log.path) == ["after"]


# Disks that fail


def error_messages(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "src.metrics.log"]


def test_a_full_disk_is_reported_once_and_counted_and_writing_goes_on_when_there_is_room(log, caplog):
    log.path.parent.mkdir()
    log.path.symlink_to("/dev/full")
    write(log, "1", "2", "3")
    assert log.failures == 3
    assert error_messages(caplog) == [f"cannot write metrics to {log.path}: [Errno 28] No space left on device"]

    log.path.unlink()
    write(log, "4", "5")
    assert ids_in(log.path) == ["4", "5"]
    assert error_messages(caplog)[1:] == [f"metrics are written to {log.path} again; 3 lines were lost so far"]

    log.path.unlink()
    log.path.symlink_to("/dev/full")
    write(log, "6")
    assert log.failures == 4
    assert len(error_messages(caplog)) == 3


def test_a_full_disk_leaks_no_open_files(log):
    log.path.parent.mkdir()
    log.path.symlink_to("/dev/full")
    write(log, "first")
    before = len(os.listdir("/proc/self/fd"))
    write(log, *map(str, range(100)))
    assert log.failures == 101
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_line_torn_by_a_full_disk_does_not_swallow_the_next(tmp_path):
    """A limit on the size of files fails in the middle of a line, as a disk does that fills up."""
    script = """
import resource, sys
from pathlib import Path
from records import a_record
from src.metrics import MetricsLog
log = MetricsLog(Path(sys.argv[1]))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
for number in range(5):
    log.write(a_record(request_id=str(number)))
log.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
log.write(a_record(request_id="later"))
log.close()
print(log.failures)
"""
    failures = int(run_python(script, tmp_path))
    lines = (tmp_path / "metrics" / "metrics.log").read_text().splitlines()
    whole = [line for line in lines if line.endswith("}")]
    assert failures == 5 - (len(whole) - 1) > 0
    assert len(lines) == len(whole) + 1
    assert json.loads(whole[-1])["request_id"] == "later"


def test_a_disk_that_takes_a_part_of_the_lines_at_a_time_does_not_tear_one_over_two_files(tmp_path, monkeypatch):
    write_to_disk = os.write
    monkeypatch.setattr("src.metrics.rotated_file.os.write", lambda fd, data: write_to_disk(fd, data[:150]))
    monkeypatch.setattr("src.metrics.log.BATCH_S", 60)  # until `close`: all lines are written together
    log = MetricsLog(tmp_path, max_bytes=100_000)  # a file of half that size is put aside
    ids = [str(number) for number in range(500)]
    for each in ids:
        log.write(a_record(request_id=each))
    log.close()
    assert log.path.stat().st_size > 100_000
    assert ids_in(log.path) == ids
    assert [each.name for each in log.path.parent.iterdir()] == ["metrics.log"]
    assert log.failures == 0


def test_a_line_torn_by_a_crash_does_not_swallow_the_next(tmp_path):
    path = tmp_path / "metrics" / "metrics.log"
    path.parent.mkdir()
    path.write_text('{"ts":1795000000.0,"sta')
    log = MetricsLog(tmp_path)
    write(log, "next")
    log.close()
    assert path.read_text().splitlines()[0] == '{"ts":1795000000.0,"sta'
    assert json.loads(path.read_text().splitlines()[1])["request_id"] == "next"


def test_a_folder_that_is_removed_is_made_again_and_reported(log, caplog):
    write(log, "before")
    log.path.unlink()
    log.path.parent.rmdir()
    write(log, "after", "later")
    assert ids_in(log.path) == ["after", "later"]
    assert error_messages(caplog) == [f"{log.path} was removed; a new one is begun"]
    assert log.failures == 0


def test_a_folder_that_cannot_be_made_is_reported_once_until_it_can(tmp_path, caplog):
    (tmp_path / "logs").write_text("a file where the folder should be")
    log = MetricsLog(tmp_path / "logs")
    write(log, "1", "2")
    assert log.failures == 2
    assert len(error_messages(caplog)) == 1
    (tmp_path / "logs").unlink()
    write(log, "3")
    log.close()
    assert ids_in(log.path) == ["3"]
    assert log.failures == 2


def test_a_stuck_disk_keeps_nobody_waiting_and_no_more_than_the_backlog_in_memory(tmp_path):
    path = tmp_path / "metrics" / "metrics.log"
    path.parent.mkdir()
    os.mkfifo(path)  # opening it to write waits until someone reads
    log = MetricsLog(tmp_path)
    for number in range(MAX_BACKLOG + 100):
        log.write(a_record(request_id=str(number)))
    lost = log.failures
    assert 99 <= lost <= 100  # one may be in the writer's hands

    with ThreadPoolExecutor(1) as reader:
        lines = reader.submit(path.read_text)
        log.close()
    assert len(lines.result().splitlines()) == MAX_BACKLOG + 100 - lost
    assert log.failures == lost


def test_what_a_stuck_disk_has_not_taken_when_the_log_is_closed_is_counted_as_lost(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("src.metrics.log.CLOSE_TIMEOUT_S", 0.01)
    path = tmp_path / "metrics" / "metrics.log"
    path.parent.mkdir()
    os.mkfifo(path)
    log = MetricsLog(tmp_path)
    for number in range(100):
        log.write(a_record(request_id=str(number)))
    log.close()
    assert log.failures == 100
    assert error_messages(caplog) == [
        f"cannot write metrics to {path}: 100 lines were still waiting when the log was closed"
    ]
    path.read_text()  # so that the thread comes to its end


@pytest.mark.parametrize("stuck_in", ["open", "write"])
def test_a_stuck_disk_does_not_hold_up_the_exit_of_the_process(tmp_path, stuck_in):
    """A pipe without a reader holds up its opening, one whose reader does not read holds up writing."""
    (tmp_path / "metrics").mkdir()
    os.mkfifo(tmp_path / "metrics" / "metrics.log")
    script = """
import os, sys
from pathlib import Path
from records import a_record
from src.metrics import MetricsLog
if sys.argv[2] == "write":
    pipe = os.open(Path(sys.argv[1], "metrics", "metrics.log"), os.O_RDWR | os.O_NONBLOCK)
    os.write(pipe, bytes(1 << 20))  # as much of it as fits
    os.set_blocking(pipe, True)
open_files = os.listdir("/proc/self/fd")
MetricsLog(Path(sys.argv[1])).write(a_record())
while sys.argv[2] == "write" and os.listdir("/proc/self/fd") == open_files:
    pass  # until the log has opened its file
"""
    run_python(script, tmp_path, stuck_in)


def test_a_process_that_ends_in_order_leaves_a_sign_of_it_beside_the_log(tmp_path):
    started = time.time()
    log = MetricsLog(tmp_path, notes_end=True)
    write(log, "a")
    assert list(read_ends(log.path)) == []
    log.close()
    ((process_started, ended, _),) = read_ends(log.path)
    assert process_started == round(log.process_started, 6)
    assert started - 1 <= process_started <= ended <= time.time() + 1
    assert ids_in(log.path) == ["a"]


@pytest.mark.parametrize("broken", ["no folder", "no file"])
def test_a_disk_that_does_not_take_the_sign_of_the_end_holds_up_nothing(tmp_path, caplog, broken):
    log = MetricsLog(tmp_path, notes_end=True)
    if broken == "no file":
        ends_path(log.path).mkdir(parents=True)
    log.close()
    assert (log.failures, error_messages(caplog)) == (0, [])


def test_a_disk_that_is_stuck_at_the_sign_of_the_end_counts_no_line_as_lost(tmp_path, monkeypatch, caplog):
    going_on = threading.Event()
    monkeypatch.setattr("src.metrics.log.note_end", lambda *_: going_on.wait(300))
    log = MetricsLog(tmp_path, notes_end=True)
    write(log, "a")
    monkeypatch.setattr("src.metrics.log.CLOSE_TIMEOUT_S", 0.01)
    log.close()
    going_on.set()
    log._thread.join()
    assert (log.failures, error_messages(caplog)) == (0, [])


def test_the_log_runs_one_thread_which_ends_with_it(tmp_path):
    before = threading.active_count()
    log = MetricsLog(tmp_path)
    assert threading.active_count() == before + 1
    log.close()
    assert threading.active_count() == before


def run_python(script: str, *arguments) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout
