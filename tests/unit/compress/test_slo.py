"""Objectives and shares as a person types them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.compress.search.slo import Objective, Wish, parse_share
from ensembles.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "percentile", "milliseconds"),
    [
        ("p99=10ms", 99, 10),
        ("p50=800us", 50, 0.8),
        ("p99=0.01s", 99, 10),
        (" P99.9 = 1 S ", 99.9, 1000),
    ],
)
def test_an_objective_is_read_in_every_unit(text, percentile, milliseconds):
    found = Objective.parse(text)
    assert (found.percentile, found.milliseconds) == pytest.approx((percentile, milliseconds))


@pytest.mark.parametrize("text", ["", "10ms", "p99", "p99=10", "p99<10ms", "p99=-1ms", "99=10ms"])
def test_another_way_of_writing_is_answered_with_an_example(text):
    with pytest.raises(SettingsError, match="expected an objective as p99=10ms"):
        Objective.parse(text)


@pytest.mark.parametrize("text", ["p0=10ms", "p100=10ms", "p101=10ms"])
def test_a_percentile_lies_between_0_and_100(text):
    with pytest.raises(SettingsError, match="expected a percentile between 0 and 100"):
        Objective.parse(text)


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(SettingsError, match="expected a limit above 0"):
        Objective.parse("p99=0ms")


@given(
    st.floats(0, 100, exclude_min=True, exclude_max=True),
    st.floats(0, 1e6, exclude_min=True),
)
def test_what_is_printed_is_read_back(percentile, milliseconds):
    objective = Objective(percentile, milliseconds)
    assert Objective.parse(str(objective)) == objective


@given(st.floats(0, 1, exclude_max=True))
def test_a_share_is_read_with_and_without_percent(share):
    assert parse_share(repr(share)) == share
    assert parse_share(f"{share * 100!r}%") == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1", "for 1 percent write 1%"),
        ("100%", "expected a share below 100%"),
        ("one", "expected a share as 1% or 0.01"),
        ("-1%", "expected a share as 1% or 0.01"),
    ],
)
def test_a_share_that_is_none_is_refused(text, message):
    with pytest.raises(SettingsError, match=message):
        parse_share(text)


def test_a_wish_has_both():
    assert Wish.parse("p99=10ms", "1%") == Wish(Objective(99, 10), 0.01)
