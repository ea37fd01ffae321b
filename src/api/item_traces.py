"""The traces of a realtime session's items, from their commit to their line in the logs."""

from src.errors import ServiceError
from src.metrics.log import MetricsLog
from src.metrics.trace import CLIENT_CLOSED, Measurements, Trace, write_trace


class ItemTraces:
    """Traces of the items of one session that have not ended.

    Args:
        metrics: where each item becomes a line when it ends.
        model: name of the model, for that line.
        route: path of the WebSocket's route, for that line.
    """

    def __init__(self, metrics: MetricsLog, model: str, route: str) -> None:
        self._metrics = metrics
        self._model = model
        self._route = route
        self._open: dict[str, tuple[Trace, float]] = {}  # by item id, each with its length in seconds

    def begin(self, item_id: str, audio_s: float) -> None:
        """Begin the trace of an item that was committed."""
        self._open[item_id] = (Trace(item_id), audio_s)

    def measured(self, item_id: str) -> Measurements:
        """Return the figures of an item, for its transcription to fill in."""
        trace, _ = self._open[item_id]
        return trace.measured

    def end(self, item_id: str, error: ServiceError | None) -> None:
        """Log an item that has its text, or failed with `error`."""
        if error is None:
            self._write(item_id, 200, None)
        else:
            self._write(item_id, error.status, error.code)

    def end_all(self) -> None:
        """Log the remaining items, whose client has gone."""
        for item_id in list(self._open):
            self._write(item_id, CLIENT_CLOSED, "client_closed")

    def _write(self, item_id: str, status: int, code: str | None) -> None:
        trace, audio_s = self._open.pop(item_id)
        trace.status, trace.error_code = status, code
        trace.measured.audio_len_s = audio_s
        write_trace(trace, self._metrics, model=self._model, route=self._route, label=f"WS {self._route} item")
