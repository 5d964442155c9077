"""Events as clients send them, and what the answers mean."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ensembles.errors import InvalidRequest, RateLimited, RequestError, ServerUnavailable
from ensembles.record import RECORD
from serving.async_client import AsyncClient
from serving.client import Client, Event, Recommendation, Recorded
from serving.events import decode_recorded, encode_events
from serving.messages import WireTensor, split_bytes

SHOWN = Recommendation(("a", "b"), (2.0, 1.0), 4, 0.001, request_id="r")
LIMITED = ServerUnavailable("too many events of one user: expected at most 3 a minute")
UNKNOWN = InvalidRequest("Request for unknown model: 'record' is not found")


class Scripted:
    """A server that keeps what it is sent, and answers or fails as it is told, call by call."""

    def __init__(self, *script: RequestError | None) -> None:
        self.script = list(script)
        self.sent: list[tuple[str, list[WireTensor]]] = []

    def infer(self, model: str, tensors: Sequence[WireTensor], *_: Any) -> Any:
        self.sent.append((model, list(tensors)))
        if error := self.script[min(len(self.sent), len(self.script)) - 1]:
            raise error
        ids = next(t for t in tensors if t.spec.name == "event_id")
        return {"accepted": b"\x01" * ids.shape[0], "event_id": ids.content}, "4"

    def close(self) -> None:
        """Nothing is open."""


class ScriptedForAsyncio(Scripted):
    async def infer(self, *given: Any) -> Any:  # type: ignore[override]
        return super().infer(*given)

    async def close(self) -> None:  # type: ignore[override]
        """Nothing is open."""


def client_of(*script: RequestError | None) -> tuple[Client, Scripted]:
    client, scripted = Client("127.0.0.1:1"), Scripted(*script)
    client.close()
    client._transport = scripted
    return client, scripted


def test_every_row_of_every_input() -> None:
    first, second = Event.answering(SHOWN, "u", "b", "click", 7), Event("v", "ï", "buy")
    tensors = {t.spec.name: t for t in encode_events([first, second])}
    assert list(tensors) == [t.name for t in RECORD.inputs]
    assert all(t.shape == (2, 1) for t in tensors.values())
    assert split_bytes(tensors["item_id"].content) == [b"b", "ï".encode()]
    assert split_bytes(tensors["request_id"].content) == [b"r", b""]
    assert struct.unpack("<2q", tensors["timestamp"].content) == (7, 0)
    assert struct.unpack("<2i", tensors["position"].content) == (2, 0)
    assert struct.unpack("<2i", tensors["release"].content) == (4, 0)
    assert first.event_id != second.event_id


def test_an_item_that_was_not_shown() -> None:
    with pytest.raises(InvalidRequest, match="expected an item of the recommendation"):
        Event.answering(SHOWN, "u", "c", "click")


@pytest.mark.parametrize(
    "events",
    [[], [Event("\ud800", "i", "click")], [Event("u", "i", "click", position=2**31)]],
)
def test_events_that_cannot_be_sent(events: list[Event]) -> None:
    with pytest.raises(InvalidRequest, match="expected"):
        encode_events(events)


A, B = b"\x01\0\0\0a", b"\x01\0\0\0b"
NAMED = [Event("u", "i", "click", event_id=name) for name in "ab"]


def test_acknowledgements() -> None:
    answer = {"accepted": b"\x01\x02", "event_id": A + B}
    assert decode_recorded(answer, NAMED) == [Recorded("a", True), Recorded("b", False)]
    nameless = [Event("u", "i", "click", event_id=""), NAMED[1]]
    assert decode_recorded(answer, nameless) == [Recorded("a", True), Recorded("b", False)]


@pytest.mark.parametrize(
    "contents",
    [
        {},
        {"accepted": b"\x01\x02"},
        {"accepted": b"\x01\x02", "event_id": A},
        {"accepted": b"\x01", "event_id": A + B},
        {"accepted": b"\x01\x02\x01", "event_id": A + B + A},
        {"accepted": b"\x01\x02", "event_id": B + A},  # of other events
        {"accepted": b"\x01\0", "event_id": A + B},
    ],
)
def test_no_acknowledgement(contents: dict[str, bytes]) -> None:
    with pytest.raises(RequestError, match="is this server one of ours"):
        decode_recorded(contents, NAMED)


@given(st.fixed_dictionaries({}, optional={"accepted": st.binary(), "event_id": st.binary()}))
@example({"accepted": b"\x01\x01", "event_id": b"\xff"})
def test_stray_bytes_are_no_acknowledgement(contents: dict[str, bytes]) -> None:
    """As clients of a server whose process was killed have got them."""
    with pytest.raises(RequestError, match="is this server one of ours"):
        decode_recorded(contents, NAMED)


def test_nobody_answers_once_and_the_same_event_goes_again() -> None:
    client, server = client_of(ServerUnavailable("gone"), None)
    event = Event("u", "i", "click")
    assert client.record(event) == Recorded(event.event_id, True)
    assert server.sent[0] == server.sent[1]
    assert server.sent[0][0] == "record"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (LIMITED, RateLimited, "at most 3"),
        (UNKNOWN, InvalidRequest, "records no events"),
        (RequestError("Request for unknown model: 'other'"), RequestError, "'other'"),
    ],
)
async def test_what_is_not_sent_again(
    error: RequestError, kind: type[Exception], said: str
) -> None:
    client, server = client_of(error)
    with pytest.raises(kind, match=said):
        client.record(Event("u", "i", "click"))
    assert len(server.sent) == 1
    async with AsyncClient("127.0.0.1:1") as twin:
        await twin._transport.close()
        twin._transport = scripted = ScriptedForAsyncio(error)
        with pytest.raises(kind, match=said):
            await twin.record(Event("u", "i", "click"))
    assert len(scripted.sent) == 1


async def test_the_twin_for_asyncio() -> None:
    async with AsyncClient("127.0.0.1:1") as twin:
        await twin._transport.close()
        twin._transport = scripted = ScriptedForAsyncio(ServerUnavailable("gone"), None)
        events = [Event("u", "i", "click"), Event("u", "j", "buy")]
        assert await twin.record_many(events) == [Recorded(e.event_id, True) for e in events]
    assert scripted.sent[0] == scripted.sent[1]
