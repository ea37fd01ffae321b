"""Folders that libraries write to while a model is loaded, in a process that may write nearly nowhere.

A container with a read-only file system has no home to write to, often not even a name for its user. NeMo still
unpacks the checkpoint into the folder for temporary files. numba, with which librosa compiles functions when NeMo loads
it, fails if it cannot keep them in a file, and so does Triton. They get a folder within that for temporary files.
"""

import logging
import os
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from src.errors import ModelUnavailable

log = logging.getLogger(__name__)


def prepare_cache_folders() -> None:
    """Name a cache in the folder for temporary files for each library that could write to none of its own, and a home.

    A library whose environment variable is set keeps what that says.

    Raises:
        ModelUnavailable: there is no folder for temporary files, or numba's variable names one that cannot be written.
    """
    temporary = temporary_folder()
    numba = os.environ.get("NUMBA_CACHE_DIR")
    if numba and not may_write(Path(numba)):
        raise ModelUnavailable(f"NUMBA_CACHE_DIR={numba} cannot be written, and NeMo needs it; name another folder.")
    unset = [name for name, own in _OWN_FOLDERS.items() if not os.environ.get(name) and not any(map(may_write, own()))]
    if not os.path.isabs(os.path.expanduser("~")):  # the user has no name either, and NeMo does not load without a home
        unset.append("HOME")
    if not unset:
        return
    caches = _private_folder(temporary)
    for name in unset:
        os.environ[name] = str(caches / name.partition("_")[0].lower())
    log.info("Libraries keep their caches in %s (%s): their own folders cannot be written.", caches, ", ".join(unset))


def temporary_folder() -> Path:
    """Return the folder for temporary files.

    Raises:
        ModelUnavailable: none can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        raise ModelUnavailable(
            "No folder for temporary files can be written, and NeMo unpacks the checkpoint into it: mount one at /tmp, "
            "or set TMPDIR to one that has room for the checkpoint."
        ) from None


def may_write(folder: Path) -> bool:
    """Return whether this process may write to a folder, or may make it."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _private_folder(temporary: Path) -> Path:
    """Return a folder that only this user can write to, as code is loaded from it. The next start finds it again."""
    folder = temporary / f"parakeet-cache-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
            return folder
    except FileExistsError:  # no folder
        pass
    return Path(tempfile.mkdtemp(prefix="parakeet-cache-"))


def _in_home(variable: str, default: str, *names: str) -> Sequence[Path]:
    """Return a folder below that of an XDG variable or its default in the user's home; none if there is no home."""
    base = os.environ.get(variable) or os.path.expanduser(default)
    return [Path(base, *names)] if os.path.isabs(base) else []


def _numba_folders() -> Sequence[Path]:
    """Return the folders that numba tries for librosa's functions."""
    librosa = find_spec("librosa")
    beside = (
        [Path(each, "util", "__pycache__") for each in (librosa.submodule_search_locations or [])] if librosa else []
    )
    return [*beside, *_in_home("XDG_CACHE_HOME", "~/.cache", "numba")]


_OWN_FOLDERS: Mapping[str, Callable[[], Sequence[Path]]] = {
    "NUMBA_CACHE_DIR": _numba_folders,
    "TRITON_CACHE_DIR": lambda: _in_home("TRITON_HOME", "~", ".triton", "cache"),
    "MPLCONFIGDIR": lambda: _in_home("XDG_CONFIG_HOME", "~/.config", "matplotlib"),
}
"""The variable that names each library's cache, and the folders that it tries if that is not set."""
