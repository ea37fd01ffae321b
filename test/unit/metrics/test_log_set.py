"""Which logs are read: files, folders, and each once."""

from pathlib import Path

import pytest
from records import write_log

from src.metrics.log_set import LogSet


def test_a_path_that_is_no_folder_is_a_log_whether_it_is_there_or_not(tmp_path):
    path = tmp_path / "backup.log"
    assert LogSet([path, path]).find() == [path]


def test_a_folder_stands_for_the_logs_below_it_and_for_no_other_files(tmp_path):
    write_log(tmp_path / "b" / "metrics" / "metrics.log", [])
    write_log(tmp_path / "a" / "metrics" / "metrics.log.2026-11-17", [])
    for other in ("server.log", "metrics.log.bak", "old.metrics.log"):
        write_log(tmp_path / other, [])
    expected = [tmp_path / name / "metrics" / "metrics.log" for name in "ab"]
    assert LogSet([tmp_path]).find() == expected
    assert LogSet([expected[1], tmp_path, tmp_path / "a"]).find() == expected[::-1]


def test_a_folder_without_a_log_is_told_unless_another_has_one(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        LogSet([empty]).find()
    path = write_log(tmp_path / "full" / "metrics.log", [])
    assert LogSet([empty, tmp_path / "full"]).find() == [path]


def test_a_log_that_comes_later_is_found_then(tmp_path):
    logs = LogSet([tmp_path])
    with pytest.raises(FileNotFoundError):
        logs.find()
    path = write_log(tmp_path / "metrics" / "metrics.log", [])
    assert logs.find() == [path]


def test_many_paths_are_named_by_the_first():
    assert str(LogSet([Path("a"), Path("b")])) == "a, b"
    assert str(LogSet([Path(name) for name in "abcde"])) == "a, b, c and 2 more"
