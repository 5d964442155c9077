"""What must lie in a user state after a load that recorded events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from zlib import crc32

from ensembles.record import IMPRESSION
from serving.client import Recommendation
from tests.unit.model_repository.recorded import KEPT, Kind

Row = dict[str, Any]


class Before:
    """A state as it is before a load.

    Args:
        items: every item that a state may name.
        users: whose events it may hold.
    """

    def __init__(self, kind: Kind, items: Sequence[str], users: Sequence[str] = ()) -> None:
        self._kind, self._items = kind, items
        self._logged = len(kind.log()) if users else 0
        self._states = {user: kind.state(items, user) for user in users}

    def assert_kept(self, event_ids: Iterable[str]) -> list[Row]:
        """Each event is in the log once, none else is, and the states are the log replayed.

        Returns:
            The log's impressions since then.
        """
        rows = self._kind.log()[self._logged :]
        shown = [row for row in rows if row["event"] == IMPRESSION]
        rows = [row for row in rows if row["event"] != IMPRESSION]
        there, wanted = Counter(row["event_id"] for row in rows), Counter(event_ids)
        assert there == wanted, f"lost {wanted - there}, too many {there - wanted}"
        for user in {row["user_id"] for row in rows}:
            own = [(row["item_id"], row["timestamp"]) for row in rows if row["user_id"] == user]
            before = self._states.get(user, [])
            replayed = sorted(dict.fromkeys([*before, *own]), key=lambda pair: pair[1])[-KEPT:]
            assert self._kind.state(self._items, user) == replayed
        return shown


def assert_shown(
    impressions: Sequence[Row], answers: Iterable[Recommendation], share: float
) -> tuple[int, int]:
    """Every impression is one of an answer, once, as it was answered, and of the chosen ones.

    Returns:
        How many answers were chosen, and how many of them are not in the log as a whole.
    """
    chosen = {a.request_id: a for a in answers if crc32(a.request_id.encode()) < share * 2**32}
    logged = Counter[str]()
    assert len({row["event_id"] for row in impressions}) == len(impressions)
    for row in impressions:
        answer = chosen[row["request_id"]]
        assert answer.items[row["position"] - 1] == row["item_id"]
        assert answer.release == row["release"]
        logged[row["request_id"]] += 1
    return len(chosen), sum(logged[name] != len(a.items) for name, a in chosen.items())
