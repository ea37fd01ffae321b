"""Runs the report: `python3 -m src.metrics`."""

import sys

try:
    from src.metrics.cli import main

    sys.exit(main())
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is not installed for {sys.executable}; try after: source .venv/bin/activate")
