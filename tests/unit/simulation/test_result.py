"""Figures of arms that users went through by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from builders.simulation.plan import Plan
from builders.simulation.result import Result
from builders.simulation.seen import Seen


def arm(clicks: list[list[float]], compared: dict[str, Any] | None) -> Any:
    """Two users and two items; each user makes one request a round, of one item."""
    one = np.ones(2)
    rounds = [
        Seen(np.eye(2, dtype=np.int32), one, np.array(of), one, one, one, one, np.array(number + 1))
        for number, of in enumerate(clicks)
    ]
    world = SimpleNamespace(
        popular=np.array([True, False]), likes={"u": {"a"}, "v": {"b"}}, item_ids=["a", "b"]
    )
    return SimpleNamespace(
        seen=rounds.__getitem__, retrained=[compared, None].__getitem__, world=world
    )


def test_arms_are_compared_user_by_user() -> None:
    arms = {
        "off": arm([[0, 1], [0, 1]], {"published": 2}),
        "on": arm([[0, 1], [0.5, 1.5]], {"published": None}),
    }
    found = Result.of("tiny", Plan(rounds=2), arms)
    assert (found.users, found.items) == (2, 2)
    assert [one.outcome for one in found.rounds["off"]] == ["release 2", "-"]
    assert [one.outcome for one in found.rounds["on"]] == ["kept", "-"]
    assert [one.release for one in found.rounds["on"]] == [1, 2]
    assert not found.rounds["off"][0].difference
    first, second = (one.difference["clicks_per_request"] for one in found.rounds["on"])
    assert (first.low, first.value, first.high) == (0, 0, 0)
    # Each user clicked half a time more: there is no doubt, however different they are.
    assert (second.low, second.value, second.high) == (0.5, 0.5, 0.5)
    of = found.rounds["off"][1].figures["clicks_per_request"]
    assert of.low < of.value == 0.5 < of.high
    assert found.rounds["off"][0].figures["popular_share"].value == 0.5
