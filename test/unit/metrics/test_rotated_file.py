"""A file that is put aside by day and by size, also by several processes at once (src.metrics.rotated_file)."""

import fcntl
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from src.metrics import rotated_file
from src.metrics.rotated_file import RotatedFile

PART = 1000
LINE = b"x" * 99 + b"\n"


def file_of(path: Path, max_bytes: int = 10 * PART) -> RotatedFile:
    return RotatedFile(path, max_bytes, PART)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


def aged(path: Path, days: float) -> Path:
    """Make a file as old as that."""
    then = time.time() - days * 86400
    os.utime(path, (then, then))
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "a.log"


def test_a_file_that_is_large_is_put_aside_under_the_names_of_its_day(path):
    file = file_of(path)
    for number in range(25):
        file.append(b"%099d\n" % number)
    day = today()
    parts = [path.with_name(f"a.log.{day}"), path.with_name(f"a.log.{day}.1"), path]
    assert [each.stat().st_size for each in parts] == [PART, PART, 500]
    assert [int(line) for each in parts for line in each.read_text().split()] == list(range(25)), "no line is lost"
    file.abandon()


def test_all_parts_together_are_no_larger_than_they_may_be_and_the_oldest_go(path):
    file = file_of(path, max_bytes=4 * PART)
    for number in range(200):
        file.append(b"%099d\n" % number)
        assert sum(each.stat().st_size for each in path.parent.iterdir()) <= 4 * PART
    kept = sorted(int(line) for each in path.parent.iterdir() for line in each.read_text().split())
    assert kept == list(range(kept[0], 200))
    assert len(kept) >= 30
    file.abandon()


def test_a_limit_smaller_than_two_parts_holds_too(path):
    file = file_of(path, max_bytes=PART)
    for _ in range(100):
        file.append(LINE)
        assert sum(each.stat().st_size for each in path.parent.iterdir()) <= PART
    file.abandon()


def test_days_are_kept_whole_however_many_parts_they_have(path):
    for day in range(1, 11):
        for part in ("", ".1", ".10", ".2"):
            date = f"{datetime.now(UTC) - timedelta(days=day + 1):%Y-%m-%d}"
            path.with_name(f"a.log.{date}{part}").write_bytes(LINE)
    path.write_bytes(LINE)
    aged(path, 1)
    file = file_of(path)
    file.append(LINE)
    file.abandon()
    days = {name.split(".")[2] for name in names(path.parent) if name != "a.log"}
    assert sorted(days) == [f"{datetime.now(UTC) - timedelta(days=day):%Y-%m-%d}" for day in range(7, 0, -1)]
    assert len(names(path.parent)) == 1 + 1 + 6 * 4


def test_parts_that_cannot_be_removed_cost_no_line_and_are_told_in_one_message(path, caplog):
    stuck = [path.with_name(f"a.log.2026-01-{day:02}") for day in (1, 2)]
    for each in stuck:
        each.mkdir()  # `unlink` fails on it, for root too
    gone = path.with_name("a.log.2026-01-03")
    for each in (gone, *(path.with_name(f"a.log.2026-02-{day:02}") for day in range(1, 8))):
        each.write_bytes(LINE)
    path.write_bytes(LINE * 10)
    file = file_of(path)
    assert file.append(b"next\n") == 5
    file.abandon()
    assert path.read_bytes() == b"next\n"
    assert not gone.exists()
    (message,) = caplog.messages
    assert message.startswith("an old part cannot be removed: ")
    assert str(stuck[0]) in message


def test_the_next_part_of_a_day_is_newer_than_those_that_are_left_of_it(path):
    day = today()
    for part in (8, 9, 10):
        path.with_name(f"a.log.{day}.{part}").write_bytes(LINE)
    path.write_bytes(LINE * 10)
    file = file_of(path)
    file.append(LINE)
    file.abandon()
    assert f"a.log.{day}.11" in names(path.parent)


def test_of_two_processes_at_midnight_one_puts_the_file_aside_and_no_line_is_lost(path, monkeypatch):
    """The second comes between the first one's look for a free name and its renaming."""
    path.write_bytes(b"old\n")
    aged(path, 1)
    first, second = file_of(path), file_of(path)
    rename = Path.rename

    def overtaken(source: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        second.append(b"second\n")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    first.append(b"first\n")
    second.append(b"third\n")
    for each in (first, second):
        each.abandon()
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    assert path.with_name(f"a.log.{yesterday}").read_text() == "old\nsecond\n"
    assert path.read_text() == "first\nthird\n"
    assert len(names(path.parent)) == 2


def test_a_file_that_another_process_has_just_put_aside_is_followed(path):
    first, second = file_of(path), file_of(path)
    second.append(LINE * 9)
    first.append(LINE)
    first.append(LINE)  # puts it aside
    second.append(b"second\n")
    assert path.read_bytes() == LINE + b"second\n"
    for each in (first, second):
        each.abandon()


def test_several_processes_that_put_a_file_aside_all_the_time_lose_no_line_and_no_file(path):
    program = """
import sys
from pathlib import Path
from src.metrics.rotated_file import RotatedFile
file = RotatedFile(Path(sys.argv[1]), 1 << 30, 2000)
for number in range(1000):
    line = f"{sys.argv[2]} {number} {'x' * 50}\\n".encode()
    assert file.append(line) == len(line)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(path)]
    processes = [
        subprocess.Popen([*command, str(number)], env=environment, stderr=subprocess.PIPE, text=True)
        for number in range(3)
    ]
    assert [process.communicate(timeout=300)[1] for process in processes] == [""] * 3, "nothing is said, either"
    lines = [line for part in path.parent.iterdir() for line in part.read_text().splitlines()]
    assert sorted(line[:-51] for line in lines) == sorted(
        f"{who} {number}" for who in range(3) for number in range(1000)
    )
    assert len(names(path.parent)) > 20


def test_a_file_whose_path_is_free_for_a_moment_was_not_removed(path, caplog):
    file = file_of(path)
    file.append(LINE)
    path.rename(path.with_name("a.log.2026-11-22"))
    file.append(b"second\n")
    assert caplog.messages == []
    path.unlink()
    file.append(b"third\n")
    assert caplog.messages == [f"{path} was removed; a new one is begun"]
    file.abandon()


def test_without_locks_files_are_put_aside_all_the_same(path, monkeypatch):
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    file = file_of(path)
    for _ in range(11):
        file.append(LINE)
    file.abandon()
    assert len(names(path.parent)) == 2


def test_what_is_no_file_is_never_put_aside(path):
    path.symlink_to("/dev/null")
    file = file_of(path)
    for _ in range(30):
        file.append(LINE)
    file.abandon()
    assert names(path.parent) == ["a.log"]
    assert rotated_file.PART_BYTES > 1 << 20
