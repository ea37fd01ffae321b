"""Writing a file whole or not at all, so that nobody reads half of it and a crash leaves the one before."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` to a file beside `path`, bring it to the disk and rename it to `path`.

    The file gets the permissions of any new file, so that other users may read it if the umask lets them. What is no
    file, such as /dev/stdout, is written to directly.

    Raises:
        OSError: the file cannot be written; `filename` is `path`, and what was there before is still there.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():
            path.write_bytes(content)
        else:
            _replace(target, content)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def _replace(target: Path, content: bytes) -> None:
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or a crash may undo the rename
    finally:
        os.close(folder)
