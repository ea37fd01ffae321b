"""Flow control."""

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """uvicorn's, which reads nothing while `full`."""

    full = False

    def resume_reading(self) -> None:
        """Read on, unless there is too much already."""
        if not self.full:
            super().resume_reading()
