from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import LoadTestError
from loadtest.objective import Objective
from loadtest.record import Quality
from loadtest.tune.duel import ROUNDS, Duel, Figures, fight
from loadtest.tune.measure import compared, figures
from tests.unit.loadtest.test_objective import DEFAULT, GOOD

CALM = Figures(10.0, 0.25)


def always(found: Figures) -> Callable[[], Figures]:
    return lambda: found


def test_a_ratio_that_never_varies_is_its_own_interval() -> None:
    duel = fight(always(CALM), always(replace(CALM, ms=8.0)), 0.001)
    assert duel.ratios == (0.8,) * ROUNDS
    assert duel.ratio == pytest.approx(0.8)
    assert duel.interval == pytest.approx((0.8, 0.8))
    assert duel.better
    assert duel.line() == "0.800 times the latency, 95 % 0.80 to 0.80, 5 rounds"


@given(st.floats(0.5, 2.0))
def test_drift_decides_nothing(drift: float) -> None:
    """Every run is slower (or faster) than the one before, whoever plays it."""
    runs = count()

    def side() -> Figures:
        return Figures(10 * drift ** next(runs), 0.25)

    assert not fight(side, side, 0.001).better


@given(st.floats(0.97, 1.03), st.floats(0.5, 0.8))
def test_a_gain_is_seen_through_drift(drift: float, gain: float) -> None:
    runs = count()

    def side(factor: float) -> Callable[[], Figures]:
        return lambda: Figures(10 * factor * drift ** next(runs), 0.25)

    assert fight(side(1.0), side(gain), 0.001).better


def test_a_gain_within_the_noise_or_too_small_is_none() -> None:
    assert not Duel((0.5, 1.4, 0.6, 1.5, 0.7), "").better
    assert not Duel((0.99,) * ROUNDS, "").better
    assert not Duel((0.5, 0.5), "").better
    assert Duel((), "").ratio == 1.0
    assert Duel((0.5,), "").interval == (0.0, float("inf"))


@pytest.mark.parametrize(
    ("runs_ms", "rounds"),
    [((11, 11, 1, 1, 1), 2), ((8, 11, 13, 1, 1), 3), ((8, 11, 9, 12, 5), 5), ((8, 9, 9, 20, 5), 4)],
)
def test_what_is_slower_so_far_ends_early(runs_ms: tuple[int, ...], rounds: int) -> None:
    runs = iter(runs_ms)
    duel = fight(always(CALM), lambda: replace(CALM, ms=next(runs)), 0.001)
    assert len(duel.ratios) == rounds
    assert not duel.better


@pytest.mark.parametrize(
    ("challenger", "why"),
    [
        (Figures(1.0, 0.25, ("error share by 0.1",)), "error share by 0.1"),
        (Figures(1.0, 0.2), "NDCG@10 under load 0.2000, best 0.2500"),
        (Figures(1.0, None), "NDCG@10 under load 0.0000, best 0.2500"),
    ],
)
def test_a_challenger_that_misses_the_objective_is_out(challenger: Figures, why: str) -> None:
    duel = fight(always(CALM), always(challenger), 0.001)
    assert duel.out == why
    assert not duel.better
    assert duel.line() == f"out: {why}"


def test_what_the_best_misses_too_is_no_reason() -> None:
    missed = replace(CALM, missed=("error share by 0.1",))
    assert fight(always(missed), always(replace(missed, ms=5.0)), 0.001).better


def test_rounds_that_the_load_process_spoilt_are_repeated() -> None:
    spoilt = replace(CALM, ms=1.0, bottleneck="busy")
    turns: Iterator[Figures] = iter([spoilt, *[replace(CALM, ms=5.0)] * ROUNDS])
    duel = fight(always(CALM), lambda: next(turns), 0.001)
    assert duel.ratios == (0.5,) * ROUNDS
    never = fight(always(CALM), always(spoilt), 0.001)
    assert never.out == "the load process was the limit in every round"


def test_fields_there_and_back() -> None:
    duel = Duel((0.9, 1.1), "why", 7)
    assert Duel.read(duel.fields()) == duel


def test_what_is_compared() -> None:
    assert compared(DEFAULT) == 99
    assert compared(Objective(p50_ms=1, p95_ms=9)) == 95
    with pytest.raises(LoadTestError, match="add one"):
        compared(Objective(error_share=0))
    slow = figures(
        DEFAULT, replace(GOOD, latency_ms=(99.0,) * 2100, quality=Quality(9, 0.3, 0.3, 1))
    )
    assert slow == Figures(99.0, 0.3)  # latencies are compared, not judged
    late = figures(DEFAULT, replace(GOOD, late_p99_ms=99.0))
    assert late.missed == ()
    assert "did not keep its schedule" in late.bottleneck
    broken = figures(DEFAULT, replace(GOOD, errors={"503": 2100}, quality=None))
    assert broken.ndcg is None
    assert "error share by 0.5" in broken.missed
    with pytest.raises(LoadTestError, match="got none"):
        figures(DEFAULT, replace(GOOD, due_s=(), latency_ms=()))
