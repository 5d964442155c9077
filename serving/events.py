"""What a user did, as a client sends it, and what comes back; both as tensors."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ensembles import contracts as c
from ensembles.contracts import TensorSpec
from ensembles.errors import InvalidRequest, RateLimited, RequestError
from ensembles.record import RECORD
from serving.messages import UNLOADED, Recommendation, WireTensor, bytes_tensor, split_bytes

_TOO_MANY = "too many events of one user"
"""How the server begins its sentence about the rate: Triton has no status of its own for it."""
_STORED, _THERE = 1, 2
"""Values of ``accepted``."""


@dataclass(frozen=True)
class Event:
    """What a user did with an item.

    Attributes:
        event: its type, such as "click"; a release names those that it knows.
        timestamp: seconds since the epoch; 0 is the server's clock.
        event_id: of this event and no other, at most 256 bytes. An event that is sent again with
            the same id is stored once; so keep the event, and not its values, to send it again.
        request_id, position, release: of the recommendation that it answers, the position counted
            from 1; see ``answering``.
    """

    user_id: str
    item_id: str
    event: str
    timestamp: int = 0
    event_id: str = field(default_factory=lambda: secrets.token_hex(16))
    request_id: str = ""
    position: int = 0
    release: int = 0

    @classmethod
    def answering(
        cls, shown: Recommendation, user_id: str, item_id: str, event: str, timestamp: int = 0
    ) -> Event:
        """An event on an item of a recommendation.

        Raises:
            InvalidRequest: the item is not in it.
        """
        if item_id not in shown.items:
            raise InvalidRequest("expected an item of the recommendation, got another")
        return cls(
            *(user_id, item_id, event, timestamp),
            request_id=shown.request_id,
            position=shown.items.index(item_id) + 1,
            release=shown.release,
        )


@dataclass(frozen=True)
class Recorded:
    """The acknowledgement of one event: it is durable, and the next recommendation sees it.

    Attributes:
        stored: now; False: it was there already.
    """

    event_id: str
    stored: bool


def encode_events(events: Sequence[Event]) -> list[WireTensor]:
    """One row an event; every input is sent, so that all requests can share a batch.

    Raises:
        InvalidRequest: there is none, an id is no text, or a number has too many bits.
    """
    if not events:
        raise InvalidRequest("expected at least one event, got none")
    try:
        return [
            bytes_tensor(c.USER_ID, [[e.user_id] for e in events]),
            bytes_tensor(c.EVENT_ITEM, [[e.item_id] for e in events]),
            bytes_tensor(c.EVENT, [[e.event] for e in events]),
            _numbers(c.TIMESTAMP, "q", [e.timestamp for e in events]),
            bytes_tensor(c.EVENT_ID, [[e.event_id] for e in events]),
            bytes_tensor(c.REQUEST_ID, [[e.request_id] for e in events]),
            _numbers(c.POSITION, "i", [e.position for e in events]),
            _numbers(c.RELEASE, "i", [e.release for e in events]),
        ]
    except (struct.error, UnicodeEncodeError) as e:
        raise InvalidRequest(
            f"expected ids that are text, and whole numbers of 32 bits (timestamp: 64): {e}"
        ) from e


def _numbers(spec: TensorSpec, form: str, values: Sequence[int]) -> WireTensor:
    return WireTensor(spec, (len(values), 1), struct.pack(f"<{len(values)}{form}", *values))


def decode_recorded(contents: Mapping[str, bytes], events: Sequence[Event]) -> list[Recorded]:
    """Acknowledgements, one an event.

    An answer must name the very events: from a server whose processes are being killed, clients
    have seen texts of stray bytes, and nothing but the event's id tells such an answer from one.

    Raises:
        RequestError: the answer is not what this client understands, or is of other events.
    """
    accepted = contents.get(c.ACCEPTED.name, b"")
    try:
        ids = split_bytes(contents.get(c.EVENT_ID.name, b""))
    except struct.error:
        ids = []
    # The server makes an id for an event without one.
    theirs = [e.event_id.encode() or i for e, i in zip(events, ids, strict=False)]
    alike = ids == theirs and len(ids) == len(accepted) == len(events)
    if not (alike and set(accepted) <= {_STORED, _THERE}):
        raise RequestError(
            f"expected {c.ACCEPTED.name} and {c.EVENT_ID.name} of the {len(events)} events in the "
            "answer; is this server one of ours?"
        )
    return [Recorded(i.decode(), a == _STORED) for i, a in zip(ids, accepted, strict=True)]


def check_recorded(error: RequestError) -> None:
    """Say what is meant where events are refused for their number, or not taken at all.

    Raises:
        RateLimited, InvalidRequest: that is what ``error`` is about.
    """
    text = str(error)
    if text.startswith(_TOO_MANY):
        raise RateLimited(text) from None
    if "unknown model" in text and f"'{RECORD.name}'" in text and UNLOADED not in text:
        raise InvalidRequest(
            "this server records no events; its release is older than that, publish it again"
        ) from error
