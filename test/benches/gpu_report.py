"""The report of `gpu_check.py`: text for people and figures for programs, both written as they come."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import client
from gpu_part import FIGURES


class Report:
    """The results so far, on stdout and in `gpu_check.txt` and `gpu_check.json` of a folder.

    Raises:
        client.Failure: the folder cannot be written.
    """

    def __init__(self, folder: Path, head: dict[str, Any]) -> None:
        self.log = folder / "gpu_check.log"
        """The file of the parts' stderr."""
        self._text, self._json = folder / "gpu_check.txt", folder / "gpu_check.json"
        self._all = head | {"parts": {}}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._text.write_text("")
            self.log.write_text("")
        except OSError as error:
            raise client.Failure(f"{self._text}: {error.strerror}") from None
        self._save()

    def say(self, line: str) -> None:
        """Print a line, and add it to the text file."""
        with suppress(BrokenPipeError):  # nobody reads stdout any more; the files remain
            print(line, flush=True)
        with self._text.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")

    def take(self, part: str, line: str) -> None:
        """Process a line of a part's stdout: keep figures, print anything else."""
        figures = _figures(line)
        if figures is None:
            self.say(line)
        else:
            self.keep(part, **figures)

    def keep(self, part: str, **figures: Any) -> None:
        """Add named figures of a part."""
        self._all["parts"].setdefault(part, {}).update(figures)
        self._save()

    def end(self, **figures: Any) -> None:
        """Add the figures of the whole check."""
        self._all |= figures
        self._save()

    def _save(self) -> None:
        new = self._json.with_suffix(".new")
        new.write_text(json.dumps(self._all, indent=2) + "\n")
        os.replace(new, self._json)  # atomic: a reader never finds half a file


def _figures(line: str) -> dict[str, Any] | None:
    """Return the figures in a line; None for a line to print, such as one that its writer did not finish."""
    if not line.startswith(FIGURES):
        return None
    try:
        figures = json.loads(line.removeprefix(FIGURES))
    except ValueError:
        return None
    return figures if isinstance(figures, dict) else None
