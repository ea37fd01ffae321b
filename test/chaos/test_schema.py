"""The OpenAPI document against the running service: schemathesis sends what it allows and what it does not."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
import schemathesis
from hypothesis import strategies as st
from media import CLIPS
from running_service import Service
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

EXAMPLES = 12
CONFIG = {
    "seed": 7,
    "continue-on-failure": True,
    "suppress-health-check": ["all"],
    "workers": 1,
    "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
    "operations": [
        {
            # No schema can say which bytes are audio or which models are served; and a wrong value in the query does no
            # harm where a form has a right one.
            "include-path": "/v1/audio/transcriptions",
            "checks": {"positive_data_acceptance": {"enabled": False}, "negative_data_rejection": {"enabled": False}},
        },
    ],
}
AUDIO = st.sampled_from([(CLIPS / "fsdd-theo-2.flac").read_bytes(), b"no audio", b""])


@dataclass
class Outcome:
    """What schemathesis has found so far."""

    statuses: Counter[int] = field(default_factory=Counter)
    failures: set[str] = field(default_factory=set)

    def add(self, event: events.EngineEvent) -> None:
        """Take note of an event of its engine."""
        match event:
            case events.FatalError() | events.NonFatalError():
                self.failures.add(repr(event))
            case events.ScenarioFinished() | events.FuzzScenarioFinished():
                recorder = event.recorder
                answers = (exchange.response for exchange in recorder.interactions.values())
                self.statuses.update(answer.status_code for answer in answers if answer)
                for check in (check for checks in recorder.checks.values() for check in checks):
                    if check.status is Status.FAILURE:
                        self.failures.add(f"{recorder.label}: {check.name}: {check.failure_info.failure}")


@pytest.fixture
def document(service: Service) -> schemathesis.BaseSchema:
    schemathesis.openapi.format("binary", AUDIO)
    config = SchemathesisConfig.from_dict(CONFIG)
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json", config=config)


def test_answers_are_as_the_openapi_document_says(document: schemathesis.BaseSchema):
    outcome = Outcome()
    for event in from_schema(document).execute():
        outcome.add(event)
    assert outcome.failures == set()
    assert outcome.statuses.keys() >= {200, 400, 404, 405}
    assert outcome.statuses[200] > EXAMPLES
