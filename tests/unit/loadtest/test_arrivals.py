from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import LoadTestError
from loadtest import arrivals
from loadtest.arrivals import Arrivals, schedule

RATES = st.floats(1, 500)


def test_a_constant_rate_is_evenly_spaced() -> None:
    due = schedule(Arrivals.CONSTANT, (100, 100), 2, seed=1)
    assert due == pytest.approx(np.arange(200) / 100)


@given(st.sampled_from(Arrivals), RATES, RATES, st.floats(0.1, 20), st.integers(0, 2**32))
def test_moments_ascend_within_the_time_and_repeat(
    kind: Arrivals, first: float, last: float, seconds: float, seed: int
) -> None:
    due = schedule(kind, (first, last), seconds, seed)
    assert (np.diff(due) >= 0).all()
    assert (due >= 0).all()
    assert (due <= seconds * (1 + 1e-9)).all()
    assert (due == schedule(kind, (first, last), seconds, seed)).all()
    expected = (first + last) / 2 * seconds
    assert abs(len(due) - expected) <= 8 * np.sqrt(expected) + 1


def test_a_ramp_has_three_quarters_in_its_second_half() -> None:
    due = schedule(Arrivals.CONSTANT, (1e-9, 400), 10, seed=1)
    assert (due > 5).mean() == pytest.approx(0.75, abs=0.01)


def test_poisson_gaps_vary_as_they_should() -> None:
    gaps = np.diff(schedule(Arrivals.POISSON, (1000, 1000), 20, seed=1))
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (1, 0), (float("inf"), 1), (-1, 1)])
def test_out_of_range(rate: float, seconds: float) -> None:
    with pytest.raises(LoadTestError, match="rates and seconds above 0"):
        schedule(Arrivals.POISSON, (rate, rate), seconds, 1)


def test_too_many() -> None:
    with pytest.raises(LoadTestError, match="at most 5,000,000"):
        schedule(Arrivals.CONSTANT, (arrivals.MOST, arrivals.MOST), 2, 1)
