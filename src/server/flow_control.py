"""Flow control of an HTTP connection."""

from uvicorn.protocols.http.flow_control import FlowControl


class PipelineFlowControl(FlowControl):
    """uvicorn's flow control, which reads nothing more while `is_full`."""

    is_full = False
    """Whether as many requests wait as may; set by the protocol."""

    def resume_reading(self) -> None:
        """Resume reading, unless `is_full`."""
        if not self.is_full:
            super().resume_reading()
