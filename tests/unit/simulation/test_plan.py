"""What a simulation may be asked."""

from __future__ import annotations

from typing import Any

import pytest

from builders.simulation.plan import Plan
from ensembles.errors import SettingsError


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"rounds": 0}, "--rounds is 1 or more"),
        ({"users": 1}, "--users is 2 or more"),
        ({"seed": -1}, "--seed is 0 or more"),
        ({"known": 1.0}, "--known is above 0 and below 1"),
        ({"position_bias": float("nan")}, "--position-bias is 0 or more"),
        ({"noise": 0.6}, "--noise is 0 to 0.5"),
        ({"requests": 101}, "--requests-per-user is 1 to 100"),
        ({"explore": 0.6}, "--explore is 0 to 0.5"),
    ],
)
def test_ranges(values: dict[str, Any], rule: str) -> None:
    with pytest.raises(SettingsError, match=rule):
        Plan(**values)


def test_arms_that_are_wanted() -> None:
    assert Plan(explore=0.2).arms == {"off": 0.0, "on": 0.2, "frozen": 0.0}
    assert Plan(explore=0.0, frozen=False).arms == {"off": 0.0}
