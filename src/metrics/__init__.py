"""Metrics: a rotating log with one JSON line for each request, and a report on it (`python3 -m src.metrics`).

Imports nothing heavy, so that the report starts quickly.
"""

from src.metrics.log import MetricsLog
from src.metrics.record import Record

__all__ = ["MetricsLog", "Record"]
