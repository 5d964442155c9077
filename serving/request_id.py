"""Ids of requests: they stand in the server's log, and exploration draws by them."""

from __future__ import annotations

import random

from ensembles.contracts import LIMITS
from ensembles.errors import InvalidRequest

REQUEST_ID_BYTES = LIMITS.id_bytes - 16
"""Of a request's id: what is shown is logged under ids that are a little longer."""


def new_request_id() -> str:
    """16 hexadecimal digits that are hardly ever the same twice; they are no secret."""
    return f"{random.getrandbits(64):016x}"


def request_id_of(given: str | None) -> str:
    """An id that a caller gave, or a new one.

    Raises:
        InvalidRequest: it is too long, or no text that the server's log can hold.
    """
    if given is None:
        return new_request_id()
    length = len(given.encode(errors="replace"))
    if length > REQUEST_ID_BYTES or not (given.isprintable() and given.isascii()):
        raise InvalidRequest(
            f"request_id: expected at most {REQUEST_ID_BYTES} printable ASCII characters, "
            f"got {length} bytes"
        )
    return given
