"""The search path of the programs here and in `chaos`: the project, and the folders whose modules they share.

A program imports this before all modules of the project, so that it runs as a script from any folder; Python itself
adds only the script's own folder. pytest and mypy have the same folders from `pyproject.toml`.
"""

import sys
from pathlib import Path

TEST = Path(__file__).resolve().parents[1]
FOLDERS = [TEST.parent, TEST, *(TEST / name for name in ("support", "clients", "benches", "chaos", "chaos/generators"))]

sys.path[1:1] = [str(folder) for folder in FOLDERS if str(folder) not in sys.path]
