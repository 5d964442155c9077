"""A session against a server that is played by the test."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from builders.simulation.plan import Plan
from builders.simulation.visit import ndcg, visit
from serving.events import Event, Recorded
from serving.messages import Recommendation, Request

SURE = Plan(position_bias=0.0, noise=0.0, requests=2)


class Shop:
    """Shows its items in their order, but for those that the user did something with."""

    def __init__(self, items: Sequence[str]) -> None:
        self.items = list(items)
        self.told: list[Event] = []

    def recommend(self, request: Request, *, request_id: str | None) -> Recommendation:
        done = {event.item_id for event in self.told}
        items = tuple(item for item in self.items if item not in done)[: request.k]
        return Recommendation(items, (0.5,) * len(items), 3, 0.0, request_id=request_id or "")

    def record_many(self, events: Sequence[Event]) -> list[Recorded]:
        self.told += events
        return [Recorded(event.event_id, stored=True) for event in events]


def test_events_are_told_before_the_next_request() -> None:
    shop = Shop([f"i{n}" for n in range(12)])
    found = visit(shop, "u", 0, {"i2", "i10"}, SURE, 0, 1000)
    assert found.clicked == ["i2", "i10"]
    assert found.release == 3
    assert "i2" in found.shown[0]
    assert "i2" not in found.shown[1]
    # i10 is among the first ten because i2 is not any more.
    assert [(e.item_id, e.position, e.request_id, e.event, e.release) for e in shop.told] == [
        ("i2", 3, "1-0-0-0", "click", 3),
        ("i10", 10, "1-0-0-1", "click", 3),
    ]


def test_who_has_nothing_left_is_not_graded() -> None:
    found = visit(Shop(["i0", "i1"]), "u", 0, {"i0"}, SURE, 0, 1000)
    assert (len(found.shown), found.gains) == (2, [1.0])


@pytest.mark.parametrize(
    ("shown", "likes", "expected"),
    [
        ("abc", "a", 1.0),
        ("abc", "ab", 1.0),
        ("abc", "c", 0.5),
        ("abc", "x", 0.0),
        ("abc", "bx", (1 / math.log2(3)) / (1 + 1 / math.log2(3))),
        ("abcdefghijk", "k", 0.0),
        ("abcdefghij", "abcdefghijklmnop", 1.0),
    ],
)
def test_ndcg_by_hand(shown: str, likes: str, expected: float) -> None:
    assert ndcg(list(shown), set(likes)) == pytest.approx(expected)
