"""Intervals against the figures of the papers they come from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.outcomes.rate import Difference, Rate

COUNTS = st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_a_rate_has_the_interval_of_newcombe_s_table(
    count: int, total: int, low: float, high: float
) -> None:
    found = Rate.of(count, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("new", "old", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_a_difference_has_the_interval_of_newcombe_s_table(
    new: tuple[int, int], old: tuple[int, int], low: float, high: float
) -> None:
    found = Difference.of(Rate.of(*new), Rate.of(*old))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)
    assert found.told is (low > 0)


@given(COUNTS)
def test_the_ends_are_where_the_share_is_just_as_unlikely(counts: tuple[int, int]) -> None:
    found = Rate.of(*counts)
    assert 0 <= found.low <= found.value <= found.high <= 1
    total = counts[1]
    for end in (found.low, found.high):
        if total and 0 < end < 1:
            score = (found.value - end) ** 2 * total / (end * (1 - end))
            assert score == pytest.approx(1.959964**2, rel=1e-5)


@given(COUNTS, COUNTS)
def test_a_difference_turns_round(new: tuple[int, int], old: tuple[int, int]) -> None:
    there, back = (Difference.of(Rate.of(*a), Rate.of(*b)) for a, b in ((new, old), (old, new)))
    assert (there.value, there.low, there.high) == pytest.approx(
        (-back.value, -back.high, -back.low)
    )
    assert there.low <= there.value <= there.high


def test_of_nothing_nothing_is_known() -> None:
    assert Rate.of(0, 0) == Rate(0, 0, 0.0, 0.0, 1.0)
    assert not Difference.of(Rate.of(5, 5), Rate.of(0, 0)).told
