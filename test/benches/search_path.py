"""Extends the module search path of the programs here and in `chaos` by the project and the shared folders.

A program imports this before any other module of the project, so that it runs as a script from any folder: Python
itself adds only the script's folder. pytest and mypy get the same folders from `pyproject.toml`.
"""

import sys
from pathlib import Path

TEST = Path(__file__).resolve().parents[1]
FOLDERS = [TEST.parent, TEST, *(TEST / name for name in ("support", "clients", "benches", "chaos", "chaos/generators"))]

sys.path[1:1] = [str(folder) for folder in FOLDERS if str(folder) not in sys.path]
