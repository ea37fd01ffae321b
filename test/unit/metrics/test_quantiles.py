"""Percentiles in bounded memory."""

import math

import numpy as np
import pytest

from src.metrics.quantiles import EXACT, Quantiles
from src.metrics.report import Percentiles


def values(count: int) -> np.ndarray:
    return np.random.default_rng(7).lognormal(-2, 1.5, count)


def quantiles_of(*parts: np.ndarray) -> Quantiles:
    found = Quantiles()
    for part in parts:
        found.add(part)
    return found


def test_few_values_have_the_percentiles_of_the_report():
    given = values(EXACT)
    found = quantiles_of(given[:10], np.array([math.nan]), given[10:])
    assert found.percentiles() == Percentiles.of(given)
    assert (len(found), found.is_exact) == (EXACT, True)


def test_many_values_are_off_by_half_a_percent_at_most_and_take_no_more_memory():
    given = values(50_000)
    found = quantiles_of(*np.split(given, 50))
    assert (len(found), found.is_exact) == (50_000, False)
    exact, about = Percentiles.of(given), found.percentiles()
    for name in ("p50", "p95", "p99"):
        assert getattr(about, name) == pytest.approx(getattr(exact, name), rel=0.006)


def test_parts_add_up_to_the_whole():
    given = values(3 * EXACT)
    parts = [quantiles_of(part) for part in np.split(given, 6)]
    assert Quantiles.merged(parts).percentiles() == Percentiles.of(given)
    about = Quantiles.merged(parts, most_exact=EXACT)
    assert not about.is_exact
    assert about.percentiles() == quantiles_of(given).percentiles()
    assert Quantiles.merged([about, quantiles_of(given)]).percentiles() == about.percentiles()


def test_nothing_has_no_percentiles_and_waits_of_nothing_count():
    assert Quantiles().percentiles() == Percentiles(None, None, None)
    assert quantiles_of(np.zeros(EXACT + 1), np.zeros(5)).percentiles().p99 == pytest.approx(0, abs=1e-3)
