"""Flow control of an HTTP connection (src.server.flow_control)."""

from fake_transport import FakeTransport

from src.server.flow_control import PipelineFlowControl


async def test_nothing_is_read_while_as_many_requests_wait_as_may():
    transport = FakeTransport()
    flow = PipelineFlowControl(transport)
    flow.pause_reading()
    flow.is_full = True
    flow.resume_reading()
    assert transport.is_reading_paused
    flow.is_full = False
    flow.resume_reading()
    assert not transport.is_reading_paused
