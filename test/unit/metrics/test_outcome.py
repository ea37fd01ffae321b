"""The four kinds of outcome."""

import pytest

from src.metrics.outcome import RequestOutcome, outcome_of


@pytest.mark.parametrize(
    ("outcome", "codes"),
    [
        (RequestOutcome.SUCCESS, [101, 200, 204, 304]),
        (RequestOutcome.REFUSED, [429, 503]),
        (RequestOutcome.CLIENT_ERROR, [400, 401, 404, 408, 413, 499]),
        (RequestOutcome.FAILED, [500, 502, 504, 599]),
    ],
)
def test_what_the_service_turned_away_is_neither_the_clients_fault_nor_its_own(outcome, codes):
    assert {outcome_of(code) for code in codes} == {outcome}
