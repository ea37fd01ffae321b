"""A file is written whole or not at all."""

import os
import stat

import pytest

from src.metrics.whole_file import write_whole


def test_a_file_replaces_the_one_before_and_leaves_nothing_beside_it(tmp_path):
    target = tmp_path / "load.html"
    for content in (b"old", b"new"):
        write_whole(target, content)
        assert target.read_bytes() == content
    assert os.listdir(tmp_path) == ["load.html"]


def test_a_reader_that_has_the_file_open_keeps_what_it_began_to_read(tmp_path):
    target = tmp_path / "load.html"
    write_whole(target, b"old")
    with target.open("rb") as reader:
        write_whole(target, b"new and longer")
        assert reader.read() == b"old"


def test_others_may_read_it_as_far_as_the_umask_lets_them(tmp_path):
    before = os.umask(0o022)
    try:
        write_whole(tmp_path / "load.prom", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "load.prom").stat().st_mode) == 0o644


def test_a_failure_leaves_the_file_before_and_names_the_file_asked_for(tmp_path, monkeypatch):
    target = tmp_path / "load.prom"
    write_whole(target, b"old")
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left") as failure:
        write_whole(target, b"new")
    assert failure.value.filename == str(target)
    assert (target.read_bytes(), os.listdir(tmp_path)) == (b"old", ["load.prom"])


def test_a_link_stays_a_link_to_the_file_that_is_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(pipe, b"page")
    assert os.read(reader, 100) == b"page"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
