"""Short sequences of client events and outcomes of work; `test/process` has the thorough search."""

from hypothesis import HealthCheck, settings
from session_machine import AnySequence

TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(
    max_examples=40, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow]
)
