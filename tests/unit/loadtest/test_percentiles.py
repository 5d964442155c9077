from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import LoadTestError
from loadtest.percentiles import Latency

LATENCIES = st.lists(st.floats(0, 1e4), min_size=1, max_size=50)


def test_of_known_latencies() -> None:
    assert Latency.of(range(101)) == Latency(101, 50.0, 50.0, 95.0, 99.0)


@given(LATENCIES)
def test_percentiles_are_ordered_and_lie_inside(values: list[float]) -> None:
    latency = Latency.of(values)
    assert min(values) <= latency.p50_ms <= latency.p95_ms <= latency.p99_ms <= max(values)
    assert min(values) - 1e-9 <= latency.mean_ms <= max(values) + 1e-9


@given(LATENCIES, st.randoms())
def test_order_of_arrival_does_not_matter(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    a, b = Latency.of(values), Latency.of(shuffled)
    assert (a.p50_ms, a.p95_ms, a.p99_ms) == (b.p50_ms, b.p95_ms, b.p99_ms)
    assert a.mean_ms == pytest.approx(b.mean_ms)


def test_no_latency_is_an_error() -> None:
    with pytest.raises(LoadTestError, match="got none"):
        Latency.of([])


@pytest.mark.parametrize("bad", [-1.0, float("nan"), float("inf")])
def test_impossible_latency_is_an_error(bad: float) -> None:
    with pytest.raises(LoadTestError, match="finite"):
        Latency.of([1.0, bad])
