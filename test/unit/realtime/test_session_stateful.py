"""Any sequence of what a client may send and of what may become of work: nothing is lost, doubled or out of order."""

from hypothesis import HealthCheck
from hypothesis import settings as budget
from session_machine import AnySequence

TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = budget(
    max_examples=400, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
