"""The report of `gpu_check.py`: a text for people and figures for programs, both written as they come."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import client
from gpu_part import FIGURES


class Report:
    """What has been found so far, on stdout and in `gpu_check.txt` and `gpu_check.json` of a folder.

    Raises:
        client.Failure: the folder cannot be written.
    """

    def __init__(self, folder: Path, head: dict[str, Any]) -> None:
        self.log = folder / "gpu_check.log"
        """Where the parts' stderr goes."""
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
        """Show a line."""
        with suppress(BrokenPipeError):  # nobody looks any more; the files are what remains
            print(line, flush=True)
        with self._text.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(line + "\n")

    def take(self, part: str, line: str) -> None:
        """Take in a line of a part's stdout: figures are kept, anything else is shown."""
        figures = _figures(line)
        if figures is None:
            self.say(line)
        else:
            self.keep(part, **figures)

    def keep(self, part: str, **figures: Any) -> None:
        """Keep figures of a part under their names."""
        self._all["parts"].setdefault(part, {}).update(figures)
        self._save()

    def end(self, **figures: Any) -> None:
        """Keep what is to be said of all parts together."""
        self._all |= figures
        self._save()

    def _save(self) -> None:
        new = self._json.with_suffix(".new")
        new.write_text(json.dumps(self._all, indent=2) + "\n")
        os.replace(new, self._json)  # whoever reads it meanwhile finds it whole


def _figures(line: str) -> dict[str, Any] | None:
    """Return the figures that a line has; None for a line to be shown, such as one that its writer died over."""
    if not line.startswith(FIGURES):
        return None
    try:
        figures = json.loads(line.removeprefix(FIGURES))
    except ValueError:
        return None
    return figures if isinstance(figures, dict) else None
