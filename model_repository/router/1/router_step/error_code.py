"""The kind of an error, which gets lost on its way from an ensemble to a model that asks it."""

from __future__ import annotations

import re

_WRONG_REQUEST = re.compile(r"^in ensemble '[^']*', \w+: ")
"""A step refuses an input, by its name."""
_BUSY = ("maximum queue size", "timeout expired", "is not ready")


def code_of(message: str) -> str:
    """Name of the code in ``TritonError`` with which the ensemble itself answers."""
    if any(words in message for words in _BUSY):
        return "UNAVAILABLE"
    return "INVALID_ARG" if _WRONG_REQUEST.match(message) else "INTERNAL"
