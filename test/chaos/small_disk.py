"""A disk of a few megabytes that can be filled: a tmpfs on the folder of the service's logs."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

BLOCK_BYTES = 1 << 16


class SmallDisk:
    """A small disk, and the times (`time.monotonic`) at which it was full; `mounted` is false if there is none."""

    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self.mounted = mounted
        self.full: list[tuple[float, float]] = []
        self._ballast = folder / "ballast"

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Fill the disk completely while the block runs."""
        began_s = time.monotonic()
        try:
            with self._ballast.open("wb", buffering=0) as ballast:
                _fill(ballast.write)
            yield
        finally:
            self._ballast.unlink()
            self.full.append((began_s, time.monotonic()))

    def was_full(self, at_s: float, margin_s: float) -> bool:
        """Whether it was full at a time, or within `margin_s` of it."""
        return any(began_s - margin_s <= at_s <= ended_s + margin_s for began_s, ended_s in self.full)


def _fill(write: Callable[[bytes], int | None]) -> None:
    size = BLOCK_BYTES
    while size:
        try:
            write(bytes(size))
        except OSError:
            size //= 2


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[SmallDisk]:
    """Make `folder` a small disk until the block ends, or a plain folder if this user may not mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
    mounted = _succeeds(mount)
    try:
        yield SmallDisk(folder, mounted=mounted)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
