"""Which refused requests have a line of their own (src.metrics.refusals)."""

from src.metrics.refusals import BURST, LINES_PER_S, TOTAL_BURST, TOTAL_LINES_PER_S, Refusal, RefusalCounter

WRONG_KEY = Refusal("tiny", "unknown", "POST unknown", 401, "invalid_api_key")
FULL = Refusal("tiny", "/v1/audio/transcriptions", "POST /v1/audio/transcriptions", 429, "queue_full")


def lines(counter: RefusalCounter, refusal: Refusal, count: int, now: float) -> int:
    """How many of several refusals at one time have a line."""
    return sum(counter.has_line(refusal, now) for _ in range(count))


def test_a_flood_has_a_burst_of_lines_and_then_a_few_a_second_and_the_rest_is_counted():
    counter = RefusalCounter()
    assert lines(counter, WRONG_KEY, 10_000, now=0.0) == BURST
    assert counter.take_counts() == {WRONG_KEY: 10_000 - BURST}
    seconds = 20
    found = sum(lines(counter, WRONG_KEY, 1000, now=second) for second in range(1, seconds + 1))
    assert found == LINES_PER_S * seconds
    assert counter.take_counts() == {WRONG_KEY: 1000 * seconds - found}
    assert counter.take_counts() == {}


def test_a_flood_of_one_kind_costs_no_other_its_lines():
    counter = RefusalCounter()
    lines(counter, WRONG_KEY, 10 * BURST, now=0.0)
    assert counter.has_line(FULL, 0.0)


def test_after_a_quiet_time_there_is_a_burst_again_and_no_more():
    counter = RefusalCounter()
    lines(counter, WRONG_KEY, BURST, now=0.0)
    assert lines(counter, WRONG_KEY, 2 * BURST, now=1e6) == BURST


def test_a_clock_that_is_set_back_grants_nothing():
    counter = RefusalCounter()
    lines(counter, WRONG_KEY, BURST, now=1000.0)
    assert not counter.has_line(WRONG_KEY, 0.0)


def test_all_kinds_together_have_a_bound_too_and_none_is_lost_without_a_count():
    kinds = [WRONG_KEY._replace(route=f"/v1/{number}") for number in range(100)]
    counter = RefusalCounter()
    assert sum(lines(counter, kind, 100, now=0.0) for kind in kinds) == TOTAL_BURST
    assert sum(counter.take_counts().values()) == 100 * 100 - TOTAL_BURST
    found = sum(lines(counter, kind, 100, now=second) for second in range(1, 11) for kind in kinds)
    assert found == TOTAL_LINES_PER_S * 10
    assert sum(counter.take_counts().values()) == 10 * 100 * 100 - found


def test_a_long_flood_of_one_kind_leaves_lines_for_others():
    counter = RefusalCounter()
    for second in range(600):
        lines(counter, WRONG_KEY, 1000, now=second)
        assert counter.has_line(FULL, second)
