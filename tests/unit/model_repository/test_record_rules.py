"""What is stored, what is refused, and that a wrong request is wrong alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.model_repository.recorded import NOW, RECORD

WEIGHTS = {"click": 1.0, "buy": 3.0, "skip": 0.0}
DAY = 86_400


def rules(**changed: Any) -> Any:
    known = {"weights": WEIGHTS, "id_bytes": 20, "future_seconds": 300, "past_days": 7.0}
    return RECORD.Rules(**(known | changed))


def tensors(rows: int = 1, **changed: Sequence[Any] | None) -> dict[str, Any]:
    """Of a good request, some changed or, with None, left out."""
    sent: dict[str, Any] = {
        "user_id": [f"user-{n}".encode() for n in range(rows)],
        "item_id": [b"item"] * rows,
        "event": [b"click"] * rows,
    } | changed
    kinds = {"timestamp": np.int64, "position": np.int32, "release": np.int32}
    return {
        name: np.array(values, kinds.get(name, np.object_))[:, None]
        for name, values in sent.items()
        if values is not None
    }


class Memory:
    """A store that keeps events in a list, or is full."""

    def __init__(self, *, full: bool = False) -> None:
        self.events: list[Any] = []
        self.full = full

    def known(self, event_ids: Sequence[str]) -> set[str]:
        return set(event_ids) & {e.event_id for e in self.events}

    def append(self, events: Sequence[Any]) -> list[bool]:
        if self.full:
            raise RECORD.Unwritable("the disk is full")
        stored = []
        for event in events:
            stored.append(event.event_id not in self.known([event.event_id]))
            self.events += [event] * stored[-1]
        return stored

    def close(self) -> None:
        """Nothing is open."""


def service(store: Memory, per_minute: int = 100, clock: float = NOW) -> Any:
    return RECORD.RecordService(store, rules(), RECORD.Rate(per_minute), lambda: clock)


def test_what_a_row_leaves_out_is_filled_in() -> None:
    (event,) = rules().events(tensors(), NOW)
    assert (event.timestamp, event.received) == (NOW, NOW)
    assert (event.request_id, event.position, event.release) == ("", 0, 0)
    assert len(event.event_id) == 32
    (other,) = rules().events(tensors(), NOW)
    assert other.event_id != event.event_id


def test_rows_are_kept_as_they_are() -> None:
    sent = tensors(
        *(2,),
        event_id=[b"a", b""],
        timestamp=[NOW - 5, 0],
        position=[3, 0],
        release=[2, 0],
        request_id=[b"r", b""],
        event=[b"buy", b"skip"],
    )
    first, second = rules().events(sent, NOW)
    assert (first.event_id, first.timestamp, first.position, first.release) == ("a", NOW - 5, 3, 2)
    assert (first.user_id, first.item_id, first.event, first.counts) == (
        *("user-0", "item", "buy"),
        True,
    )
    assert (second.counts, second.timestamp) == (False, NOW)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"user_id": [b""]}, "user_id: expected a text in every row"),
        ({"item_id": None}, "item_id: expected a text in every row"),
        ({"item_id": [b"x" * 21]}, "item_id: expected at most 20 bytes, got 21"),
        ({"user_id": [b"\xff"]}, "user_id: expected UTF-8"),
        ({"event_id": [b"a\0b"]}, "event_id: expected a text without NUL"),
        ({"event": [b"clik"]}, "event: expected one of buy, click, skip; did you mean 'click'?"),
        ({"event": [b"Zzz"]}, "event: expected one of buy, click, skip"),
        ({"position": [-1]}, "position: expected 0, for none, or more, got -1"),
        ({"timestamp": [-1]}, "timestamp: expected 0, for none, or more, got -1"),
        ({"timestamp": [NOW + 301]}, "timestamp: expected seconds since the epoch"),
        ({"timestamp": [NOW * 1000]}, "timestamp: expected seconds since the epoch"),
        ({"timestamp": [NOW - 7 * DAY - 1]}, "at most 7 days old and 300 seconds ahead"),
    ],
)
def test_bad_rows_say_why_and_harm_nobody(changed: dict[str, Any], said: str) -> None:
    store = Memory()
    before, bad, after = service(store).answer([tensors(), tensors(**changed), tensors(2)])
    assert said in str(bad)
    assert isinstance(bad, RECORD.BadRequest)
    assert before.accepted.tolist() == [[RECORD.STORED]]
    assert after.accepted.tolist() == [[RECORD.STORED], [RECORD.STORED]]
    assert len(store.events) == 3


@pytest.mark.parametrize("at", [NOW - 7 * DAY, NOW + 300])
def test_times_at_the_limits_are_good(at: int) -> None:
    assert rules().events(tensors(timestamp=[at]), NOW)[0].timestamp == at


@given(raw=st.binary(max_size=30), at=st.integers(-(2**63), 2**63 - 1))
def test_any_bytes_are_an_event_or_refused(raw: bytes, at: int) -> None:
    sent = tensors(user_id=[raw], item_id=[raw], event_id=[raw], timestamp=[at])
    try:
        (event,) = rules().events(sent, NOW)
    except RECORD.BadRequest:
        return
    assert event.user_id.encode() == raw
    assert RECORD.row_of(event.line())["user_id"] == event.user_id


def test_an_event_that_comes_again_is_acknowledged_again() -> None:
    store, sent = Memory(), tensors(event_id=[b"a"])
    first, second = service(store).answer([sent, sent])
    (third,) = service(store).answer([sent])
    assert [a.accepted.item() for a in (first, second, third)] == [
        *(RECORD.STORED, RECORD.THERE, RECORD.THERE)
    ]
    assert [a.event_id.item() for a in (first, third)] == [b"a", b"a"]
    assert len(store.events) == 1


def test_a_user_has_so_many_a_minute() -> None:
    store, clock = Memory(), [float(NOW - NOW % 60)]
    limited = RECORD.RecordService(store, rules(), RECORD.Rate(3), lambda: clock[0])
    mine, two = tensors(event_id=[b"a"]), tensors(2, user_id=[b"user-0"] * 2)
    outcomes = limited.answer([mine, two, tensors(2, user_id=[b"user-0", b"v"])])
    assert [type(o).__name__ for o in outcomes] == ["Answer", "Answer", "TooMany"]
    assert str(outcomes[2]).startswith("too many events of one user: expected at most 3 a minute")
    assert "user-0" not in str(outcomes[2])
    assert len(store.events) == 3
    # One that is stored already takes no room, and others have their own.
    again, other = limited.answer([mine, tensors(user_id=[b"w"])])
    assert (again.accepted.item(), other.accepted.item()) == (RECORD.THERE, RECORD.STORED)
    clock[0] += 60
    assert limited.answer([two])[0].accepted.tolist() == [[RECORD.STORED]] * 2


def test_a_full_store_refuses_all_but_says_what_is_wrong() -> None:
    full = service(Memory(full=True))
    good, bad = full.answer([tensors(), tensors(event=[b"x"])])
    assert isinstance(good, RECORD.Unwritable)
    assert isinstance(bad, RECORD.BadRequest)
    assert full.answer([tensors(event=[b"x"])])[0].args == bad.args


def test_what_is_counted() -> None:
    store, sent = Memory(), tensors(2, event_id=[b"a", b"b"])
    limited = service(store, per_minute=3)
    outcomes = limited.answer([sent, sent, tensors(event=[b"x"]), tensors(4, user_id=[b"v"] * 4)])
    assert dict(zip(RECORD.COUNTED, limited.count(outcomes), strict=True)) == {
        "events_stored": 2,
        "events_repeated": 2,
        "events_refused": 1,
        "events_rate_limited": 1,
        "events_unwritten": 0,
    }
    store.full = True
    assert limited.count(limited.answer([tensors(event_id=[b"c"])])) == (0, 0, 0, 0, 1)


GOOD = {
    "events": '{"click": 1}',
    "id_bytes": "9",
    "future_seconds": "1",
    "past_days": "1.5",
    "per_minute": "1",
    "state_limit_mb": "64",
}


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("value", [None, "x"])
def test_parameters_that_are_missing_or_wrong(name: str, value: str | None, tmp_path: Any) -> None:
    given_ = {n: v for n, v in (GOOD | {name: value}).items() if v is not None}
    with pytest.raises(ValueError, match="record needs the parameters"):
        RECORD.RecordService.open(tmp_path / "record" / "1", given_, "lmdb://state")
