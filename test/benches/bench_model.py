"""The checkpoint that `--model` of a benchmark names."""

import argparse
import subprocess
import sys
from pathlib import Path

import client

WIDE = {"wide-0.6b": "0.6b", "wide-0.6b-v3": "0.6b-v3", "wide-small": "small"}
"""The sizes of `wide_parakeet.py`, by the names that `--model` takes."""
INSTANT = "instant"
"""The name of the model that answers at once."""
WIDENING = Path(__file__).with_name("wide_parakeet.py")


def add_model_argument(to: argparse.ArgumentParser) -> None:
    """Add `--model`."""
    to.add_argument(
        "--model",
        default="tiny",
        help="tiny, a path, a hub id, wide-0.6b: tiny in the published shape, or instant: one that answers at once, "
        "for a service in a process of its own (default: %(default)s)",
    )


def checkpoint(model: str, folder: Path = client.RESULTS) -> str:
    """Return the `PARAKEET_MODEL_ID` of what `--model` names; a wide checkpoint is made in `folder` on first use.

    A separate process makes it, so that the load client's own process stays free of NeMo.

    Raises:
        client.Failure: making it failed; the message ends with the last line of stderr.
    """
    path = path_of(model, folder)
    command = making(model, folder)
    if command:
        print(f"making {path}", file=sys.stderr)
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            reason = (made.stderr.splitlines() or ["it said nothing"])[-1]
            raise client.Failure(f"{path} could not be made: {reason}")
    return path


def path_of(model: str, folder: Path = client.RESULTS) -> str:
    """Return the `PARAKEET_MODEL_ID` of what `--model` names, even if the file does not exist yet."""
    if model == INSTANT:
        return "tiny"  # it is not loaded, but settings name it
    return str(folder / f"{model}.nemo") if model in WIDE else model


def making(model: str, folder: Path = client.RESULTS) -> list[str] | None:
    """Return the command that makes the wide checkpoint named by `--model`, None if nothing must be made."""
    path = path_of(model, folder)
    if model not in WIDE or Path(path).exists():
        return None
    return [sys.executable, str(WIDENING), "--size", WIDE[model], "--out", path]
