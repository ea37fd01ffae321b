"""The thorough search: sequences of client events and outcomes of work that a session does not survive."""

from hypothesis import HealthCheck, settings
from session_machine import AnySequence

TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = settings(
    max_examples=400, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
