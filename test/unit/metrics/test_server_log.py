"""The service's own log, of bounded size (src.metrics.server_log)."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from src.metrics.server_log import LINES_BETWEEN_LOOKS, ServerLogHandler, server_log_path

MAX_BYTES = 10_000


@contextmanager
def handler_to(path: Path, bounded: Path, mode: str = "a") -> Iterator[ServerLogHandler]:
    """A handler that writes to one file and is told to bound one."""
    with path.open(mode) as stream:
        handler = ServerLogHandler(stream, MAX_BYTES)
        handler.bound(bounded)
        yield handler


def write(handler: ServerLogHandler, first: int, count: int) -> None:
    for number in range(first, first + count):
        handler.handle(logging.makeLogRecord({"msg": f"{number:09d}"}))


@pytest.fixture
def path(tmp_path) -> Path:
    return server_log_path(tmp_path)


def test_the_log_never_grows_beyond_its_limit_and_one_old_part_is_kept(path):
    with handler_to(path, path) as handler:
        for first in range(0, 10_000, 100):
            write(handler, first, 100)
            assert path.stat().st_size <= MAX_BYTES + 10 * LINES_BETWEEN_LOOKS
    old = path.with_name("server.log.1")
    assert sorted(each.name for each in path.parent.iterdir()) == ["server.log", "server.log.1"]
    lines = [int(line) for each in (old, path) for line in each.read_text().split()]
    assert lines == list(range(lines[0], 10_000)), "the newest lines, and none is lost between the two"
    assert len(lines) >= MAX_BYTES // 10


def test_a_log_that_is_large_at_the_start_is_put_aside_with_the_first_line(path):
    path.write_bytes(b"x" * 2 * MAX_BYTES)
    with handler_to(path, path) as handler:
        write(handler, 7, 1)
    assert path.read_text() == "000000007\n"
    assert path.with_name("server.log.1").stat().st_size == 2 * MAX_BYTES


def test_what_others_append_to_the_log_goes_to_the_same_file(path):
    with path.open("a") as other, handler_to(path, path) as handler:
        write(handler, 0, 2000)
        other.write("supervisor\n")
        other.flush()
        assert path.read_text().endswith("supervisor\n")
        assert "\0" not in path.read_text()


@pytest.mark.parametrize("mode", ["w", "a"])
def test_a_file_that_is_not_the_services_log_or_is_not_appended_to_is_left_alone(path, tmp_path, mode):
    written = path if mode == "w" else tmp_path / "mine.log"
    path.touch()
    with handler_to(written, path, mode) as handler:
        write(handler, 0, 5000)
    assert written.stat().st_size == 50_000
    assert not path.with_name("server.log.1").exists()


def test_a_disk_that_is_too_full_for_the_old_part_costs_old_lines_only(path, monkeypatch):
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"a part of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("src.metrics.server_log.shutil.copyfile", full)
    with handler_to(path, path) as handler:
        write(handler, 0, 5000)
    assert path.stat().st_size <= MAX_BYTES + 10 * LINES_BETWEEN_LOOKS
    assert path.read_text().endswith("000004999\n")
    assert [each.name for each in path.parent.iterdir()] == ["server.log"]


def test_a_log_that_was_renamed_is_left_as_it_is_and_so_is_the_new_one(path):
    """logrotate renames the log and makes a new one. The service appends to the old one until it is started again."""
    renamed = path.with_name("server.log-20261127")
    with handler_to(path, path) as handler:
        write(handler, 0, 200)
        path.rename(renamed)
        path.write_text("new\n")
        write(handler, 200, 5000)
    assert [int(line) for line in renamed.read_text().split()] == list(range(5200))
    assert path.read_text() == "new\n"
    assert not path.with_name("server.log.1").exists()


def test_a_log_that_was_renamed_just_before_the_copy_is_the_one_that_is_copied(path, monkeypatch):
    copyfile = shutil.copyfile
    renamed = path.with_name("server.log.0")

    def overtaken(source: str, target: Path) -> None:
        path.rename(renamed)
        path.write_text("new\n")
        copyfile(source, target)

    monkeypatch.setattr("src.metrics.server_log.shutil.copyfile", overtaken)
    path.write_bytes(b"x" * MAX_BYTES)
    with handler_to(path, path) as handler:
        write(handler, 0, 1)
    assert path.read_text() == "new\n"
    assert path.with_name("server.log.1").read_bytes() == b"x" * MAX_BYTES
    assert renamed.read_text() == "000000000\n"


def test_a_removed_log_takes_no_more_of_the_disk_than_another(path):
    with handler_to(path, path) as handler:
        path.unlink()
        write(handler, 0, 10_000)
        assert os.fstat(handler.stream.fileno()).st_size <= MAX_BYTES + 10 * LINES_BETWEEN_LOOKS
    assert list(path.parent.iterdir()) == []


def test_a_copy_that_fails_on_a_disk_with_room_costs_no_line(path, monkeypatch):
    def forbidden(source: str, target: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("src.metrics.server_log.shutil.copyfile", forbidden)
    with handler_to(path, path) as handler:
        write(handler, 0, 5000)
    assert len(path.read_text().split()) == 5000
