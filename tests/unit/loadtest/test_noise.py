"""The comparison of two runs: what regresses, and what never does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.record import Quality, RunRecord
from loadtest.report import noise
from loadtest.report.noise import Change, changes
from tests.unit.loadtest.found_run import made_run, slower

RUN = made_run()


@pytest.fixture(scope="module", autouse=True)
def _fewer_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise, "RESAMPLES", 400)
        yield


def by_figure(before: RunRecord, now: RunRecord) -> dict[str, Change]:
    return {change.figure: change for change in changes(before, now, 1000)}


LATENCIES = ("p50 ms", "p95 ms", "p99 ms", "mean ms")


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), seconds=st.integers(10, 14), rate=st.integers(1, 40))
def test_identical_runs_never_regress(seed: int, seconds: int, rate: int) -> None:
    run = made_run(seed, seconds, rate)
    for change in changes(run, run, 1):
        assert not change.regressed
        assert (change.low, change.high) == pytest.approx((change.change, change.change))


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.2, 5), other=st.integers(0, 10**6))
def test_the_interval_moves_with_the_latencies(factor: float, other: int) -> None:
    """Scaled, it scales; the other way round, it is the reciprocal."""
    run = made_run(other)
    plain, scaled = by_figure(RUN, run), by_figure(RUN, slower(run, factor))
    turned = by_figure(run, RUN)
    for name in LATENCIES:
        low, high = plain[name].low, plain[name].high
        assert 0 < low <= high
        assert (scaled[name].low, scaled[name].high) == pytest.approx((factor * low, factor * high))
        assert (turned[name].low, turned[name].high) == pytest.approx((1 / high, 1 / low))


def test_half_as_slow_again_regresses_and_faster_does_not() -> None:
    found = by_figure(RUN, slower(RUN, 1.5))
    assert [name for name, change in found.items() if change.regressed] == list(LATENCIES)
    assert [found[name].change for name in LATENCIES] == pytest.approx([1.5] * 4)
    assert not any(change.regressed for change in changes(slower(RUN, 1.5), RUN, 1000))


def test_a_small_change_is_no_regression_even_if_it_is_certain() -> None:
    found = by_figure(RUN, slower(RUN, 1.04))
    assert found["mean ms"].low > 1.03
    assert not any(change.regressed for change in found.values())


def test_other_runs_of_the_same_kind_lie_inside_the_noise() -> None:
    regressed = [c for seed in range(2, 12) for c in changes(RUN, made_run(seed), 1000)]
    assert not [c.figure for c in regressed if c.regressed]


def test_figures_are_those_of_the_record() -> None:
    found = by_figure(RUN, RUN)
    latency = RUN.latency
    for name in ("p50", "p95", "p99", "mean"):
        assert found[f"{name} ms"].now == pytest.approx(getattr(latency, f"{name}_ms"))


def test_errors_regress_when_they_come_all_the_time() -> None:
    failed = tuple(float(m) for m in np.arange(0, 12, 0.1))
    found = by_figure(RUN, replace(RUN, failed_s=failed))["error share"]
    assert found.regressed
    assert found.now == pytest.approx(120 / 1560)
    # All in one second: another draw of the seconds may hold none of them.
    once = by_figure(RUN, replace(RUN, failed_s=(3.5,) * 120))["error share"]
    assert (once.low, once.regressed) == (0, False)


def test_quality_in_pairs_and_without() -> None:
    assert RUN.quality is not None
    gains = RUN.quality.gains
    worse = replace(RUN, quality=Quality(100, 0.2, 0.2, 1.0, tuple(g * 0.5 for g in gains)))
    assert by_figure(RUN, worse)["NDCG@10 loss"].regressed
    shorter = replace(RUN, quality=Quality(100, 0.2, 0.2, 1.0, gains[:200]))
    assert not by_figure(RUN, shorter)["NDCG@10 loss"].regressed
    assert "NDCG@10 loss" not in by_figure(RUN, replace(RUN, quality=None))


def test_what_cannot_be_compared_is_left_out() -> None:
    short = made_run(seconds=9)
    assert changes(RUN, short, 1000) == changes(short, RUN, 1000) == []
    few = by_figure(RUN, made_run(rate=50))
    assert "p95 ms" in few
    assert "p99 ms" not in few
    nothing = replace(RUN, due_s=(), latency_ms=(), failed_s=(1.0, 2.0), quality=None)
    assert list(by_figure(RUN, nothing)) == ["error share"]


def test_seconds_without_an_answer_are_bearable() -> None:
    """So few answers that some draws hold none at all, and nothing can be said."""
    rare = replace(RUN, due_s=(0.5, 11.5), latency_ms=(4.0, 6.0))
    found = by_figure(rare, slower(rare, 2.0))
    assert found["p50 ms"].change == pytest.approx(2.0)
    assert (found["p50 ms"].low, found["p50 ms"].regressed) == (1.0, False)
