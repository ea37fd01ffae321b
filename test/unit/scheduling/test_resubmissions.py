"""Whether a batch waits for the callers of the batch before (src.scheduling.resubmissions)."""

import pytest

from src.scheduling.resubmissions import PATIENCE, REMEMBERED, Resubmissions

SOON_S, LATE_S = PATIENCE / 2, PATIENCE * 2  # for batches of a second


def ended(returns: Resubmissions, jobs: int, back_after_s: float | None, now: float = 0.0) -> None:
    """Play a batch whose callers come again one after the other, the first after so long; None: nobody."""
    returns.batch_ended(jobs, now)
    for number in range(jobs if back_after_s else 0):
        assert not returns.all_back
        returns.job_queued(now + back_after_s + number)
    assert returns.all_back == bool(back_after_s)


def test_nobody_is_waited_for_before_callers_have_come_again():
    returns = Resubmissions()
    assert returns.all_back
    returns.job_queued(SOON_S)
    returns.batch_ended(1, 1.0)
    assert returns.wait_s(1.0) == 0


def test_callers_that_come_again_soon_are_waited_for_as_the_batch_was_long():
    returns = Resubmissions()
    ended(returns, 4, SOON_S, now=100.0)
    returns.batch_ended(4, 200.0)
    assert returns.wait_s(1.0) == PATIENCE
    assert returns.wait_s(2.0) == 2 * PATIENCE
    assert returns.wait_s(0.1) == 0, "that would be over before they are back"


@pytest.mark.parametrize("back_after_s", [LATE_S, None])
def test_callers_that_come_late_or_not_at_all_are_not_waited_for(back_after_s):
    returns = Resubmissions()
    ended(returns, 1, SOON_S)
    for _ in range(REMEMBERED):
        assert returns.wait_s(1.0) == PATIENCE, "once may be chance"
        ended(returns, 3, back_after_s)
    assert returns.wait_s(1.0) == 0


def test_a_slow_group_does_not_hide_that_another_is_quick():
    returns = Resubmissions()
    for _ in range(5):
        ended(returns, 4, SOON_S)
        ended(returns, 4, LATE_S)
    assert returns.wait_s(1.0) == PATIENCE
