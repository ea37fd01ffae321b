"""The files by which processes tell how busy they are."""

import json
import os
from dataclasses import replace

import pytest
from records import NOW

from src.metrics.load import FRESH_S, KEPT_S, Load, LoadFile, ProcessLoad, read_loads

LOAD = Load(
    queued_audio_s=12.5,
    running_audio_s=3.0,
    uploads=4,
    sessions=2,
    max_sessions=256,
    batch_size=3.5,
    audio_s_per_s=80.0,
    ready=True,
)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "metrics" / "metrics.log"


def test_each_process_has_a_file_of_its_own_which_it_renews_and_removes(log):
    first, second = LoadFile(log, NOW - 60, "parakeet#1/a"), LoadFile(log, NOW - 30, "parakeet#1/b")
    first.write(LOAD, NOW - 5)
    first.write(replace(LOAD, sessions=3), NOW)
    second.write(LOAD, NOW)
    assert list(read_loads(log)) == [
        ProcessLoad(NOW, NOW - 60, "parakeet#1/a", replace(LOAD, sessions=3)),
        ProcessLoad(NOW, NOW - 30, "parakeet#1/b", LOAD),
    ]
    first.remove()
    first.remove()
    assert [each.replica for each in read_loads(log)] == ["parakeet#1/b"]
    assert len(list(log.parent.iterdir())) == 1


def test_a_process_without_a_name_has_one_too(log):
    LoadFile(log, NOW - 60).write(LOAD, NOW)
    assert list(read_loads(log)) == [ProcessLoad(NOW, NOW - 60, "", LOAD)]


def test_a_file_is_that_of_now_for_some_seconds():
    found = ProcessLoad(NOW, NOW - 60, "", LOAD)
    assert found.is_fresh(NOW + FRESH_S)
    assert not found.is_fresh(NOW + FRESH_S + 1)


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", "1", '{"ts": 1', '"text"', "\x00", "[" * 100_000])
def test_a_file_of_another_form_is_skipped(log, content):
    LoadFile(log, NOW - 60, "a").write(LOAD, NOW)
    log.with_name("load.b.json").write_text(content)
    assert len(list(read_loads(log))) == 1


@pytest.mark.parametrize("change", [{"replica": 1}, {"sessions": None}, {"queued_audio_s": "many"}, {"ts": []}])
def test_a_value_of_another_form_is_skipped_too(log, change):
    LoadFile(log, NOW - 60, "a").write(LOAD, NOW)
    (path,) = log.parent.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert list(read_loads(log)) == []


def test_a_log_without_such_files_has_no_loads(log):
    assert list(read_loads(log)) == []


def test_files_of_processes_that_were_killed_are_removed_in_time(log):
    for name in ("a", "b"):
        LoadFile(log, NOW - 60, name).write(LOAD, NOW)
    os.utime(log.with_name("load.a.json"), (NOW - KEPT_S - 1, NOW - KEPT_S - 1))
    os.utime(log.with_name("load.b.json"), (NOW, NOW))
    LoadFile(log, NOW).remove_old(NOW)
    assert [each.replica for each in read_loads(log)] == ["b"]


def test_a_disk_that_fails_leaves_no_half_of_a_file(log, tmp_path):
    log.parent.parent.mkdir(exist_ok=True)
    log.parent.write_text("no folder")
    with pytest.raises(OSError, match="metrics"):
        LoadFile(log, NOW).write(LOAD, NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics"]
