"""What became of every request: one JSON line each in a rotating log, and the report over it.

`python3 -m src.metrics` prints the report. Nothing heavy is imported here.
"""

from src.metrics.log import MetricsLog
from src.metrics.record import Record

__all__ = ["MetricsLog", "Record"]
