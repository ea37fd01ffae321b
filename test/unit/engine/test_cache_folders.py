"""Where libraries keep their caches, in a process that may write nearly nowhere."""

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest

from src.engine import cache_folders
from src.engine.cache_folders import may_write, prepare_cache_folders
from src.errors import ModelUnavailable

NAMES = ("NUMBA_CACHE_DIR", "TRITON_CACHE_DIR", "MPLCONFIGDIR")


@pytest.fixture
def confined(monkeypatch, tmp_path) -> Path:
    """A process that may write to the folder for temporary files alone, and that folder."""
    for name in (*NAMES, "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TRITON_HOME"):
        monkeypatch.delenv(name, raising=False)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(cache_folders, "may_write", lambda folder: temporary in folder.parents)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return temporary


def test_libraries_that_cannot_write_to_their_own_folders_get_others_of_this_user_alone(confined, caplog):
    caplog.set_level("INFO")
    prepare_cache_folders()
    (folder,) = confined.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [os.environ[name] for name in NAMES] == [str(folder / name) for name in ("numba", "triton", "mplconfigdir")]
    assert str(folder) in caplog.text


def test_a_user_without_a_home_gets_one(confined, monkeypatch):
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    prepare_cache_folders()
    assert Path(os.environ["HOME"]) == Path(os.environ["NUMBA_CACHE_DIR"]).with_name("home")


def test_the_next_start_finds_the_caches_of_the_last_one(confined):
    prepare_cache_folders()
    first = os.environ.pop("NUMBA_CACHE_DIR")
    prepare_cache_folders()
    assert os.environ["NUMBA_CACHE_DIR"] == first


@pytest.mark.parametrize("planted", ["open to all", "a link", "a file"])
def test_a_folder_that_others_could_write_to_is_not_used(confined, tmp_path, planted):
    path = confined / f"parakeet-cache-{os.geteuid()}"
    if planted == "open to all":
        path.mkdir()
        path.chmod(0o777)
    elif planted == "a link":
        path.symlink_to(tmp_path)
    else:
        path.touch()
    prepare_cache_folders()
    used = Path(os.environ["NUMBA_CACHE_DIR"]).parent
    assert used != path
    assert used.parent == confined
    assert stat.S_IMODE(used.stat().st_mode) == 0o700


def test_what_the_operator_has_set_stays(confined, monkeypatch):
    for name in NAMES:
        monkeypatch.setitem(os.environ, name, str(confined / "mine"))
    prepare_cache_folders()
    assert {os.environ[name] for name in NAMES} == {str(confined / "mine")}
    assert list(confined.iterdir()) == []


def test_a_folder_for_numba_that_cannot_be_written_is_named(confined, monkeypatch):
    monkeypatch.setitem(os.environ, "NUMBA_CACHE_DIR", "/opt/cache")
    with pytest.raises(ModelUnavailable, match="NUMBA_CACHE_DIR=/opt/cache cannot be written"):
        prepare_cache_folders()


def test_without_a_folder_for_temporary_files_the_variable_to_set_is_named(monkeypatch):
    def nowhere() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(ModelUnavailable, match="set TMPDIR"):
        prepare_cache_folders()


def test_a_process_that_may_write_to_its_home_keeps_all_as_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {**os.environ, "HOME": str(tmp_path)})
    for name in (*NAMES, "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TRITON_HOME"):
        os.environ.pop(name, None)
    prepare_cache_folders()
    assert not {*NAMES} & {*os.environ}


def test_a_folder_that_does_not_exist_may_be_written_if_it_may_be_made(tmp_path):
    assert may_write(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    assert not may_write(tmp_path / "file" / "b")
    assert not may_write(Path("/proc/1/nothing"))
