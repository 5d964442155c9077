"""A line of JSON for some requests, for the log of the server; never with a user id in it.

A line goes to standard error in one short write; whoever started the server passes it on.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from .stages import Passed

TROUBLES_A_SECOND = 10
"""Failed and degraded requests that are logged; further ones are counted."""
_USERS = 8
"""Rows of a request whose users stand in its line."""
_ID, _ERROR = 64, 300
"""Characters of a request's id and of its error: a line stays far below 4,096 bytes, so that
those of several processes do not mix."""
_STANDARD_ERROR = 2
_WARM_UP = [b"warm-up"]
"""The user of requests that Triton makes of a model's configuration before it is ready."""


class RequestLog:
    """Logs every so many requests, and those that failed or were degraded.

    Args:
        every: so many; 1 for all.
        key: of the hashes that stand for users.
        about: what is the same in every line.
        write: takes a line; default: this process's standard error.
    """

    def __init__(
        self,
        every: int,
        key: str,
        about: Mapping[str, Any],
        write: Callable[[bytes], object] | None = None,
    ) -> None:
        self._every = every
        self._key = blake2b(key.encode()).digest()
        self._about = dict(about)
        self._write = write or (lambda line: os.write(_STANDARD_ERROR, line))
        self._count = 0
        self._second, self._troubles, self._left_out = 0, 0, 0
        self._found: Sequence[Any] = ()

    @classmethod
    def from_environment(cls, about: Mapping[str, Any]) -> RequestLog | None:
        """As ``MILLIRANK_LOG_EVERY`` and ``MILLIRANK_LOG_KEY`` say; None for no log."""
        every = int(os.environ.get("MILLIRANK_LOG_EVERY") or 0)
        return cls(every, os.environ.get("MILLIRANK_LOG_KEY", ""), about) if every else None

    def found(self, answers: Sequence[Any]) -> None:
        """What the features step made of each request of the batch that is next in ``batch``."""
        self._found = answers

    def batch(
        self, requests: Sequence[Any], answers: Sequence[Any], passed: Sequence[Passed]
    ) -> None:
        """Log what is to be logged of one batch.

        Args:
            requests: of the Python backend.
            answers: for each its tensors by name, or an exception.
            passed: stages; requests of a batch went through them together.
        """
        for place, answer in enumerate(answers):
            self._count += 1
            trouble = isinstance(answer, Exception) or _degraded(answer)
            if self._count % self._every == 0 or (trouble and self._room()):
                ms = {p.stage: (p.end - p.start) / 1e6 for p in passed if place in p.places}
                self._log(requests[place], answer, self._found[place], ms)
        self._found = ()

    def _room(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._troubles = second, 0
        self._troubles += 1
        if self._troubles <= TROUBLES_A_SECOND:
            return True
        self._left_out += 1
        return False

    def _log(self, request: Any, answer: Any, found: Any, ms: Mapping[str, float]) -> None:
        users = _users(request)
        if users == _WARM_UP and not request.request_id():
            return
        failed = isinstance(answer, Exception)
        line = {
            "event": "request",  # must stand first: the line is known by it
            "time": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": "warning" if failed or _degraded(answer) else "info",
            **self._about,
            "message": "request failed" if failed else "request answered",
            "request_id": _request_id(request, users),
            "rows": len(users),
            "users": [self._hash(user) for user in users[:_USERS]],
            **_described(found),
            "degraded": _degraded(answer),
            "error": _sentence(answer) if failed else "",
            "stage_ms": {stage: round(spent, 3) for stage, spent in ms.items()},
            "left_out": self._left_out,
        }
        self._left_out = 0
        self._write(json.dumps(line).encode() + b"\n")

    def _hash(self, user: bytes) -> str:
        return blake2b(user, key=self._key, digest_size=8).hexdigest()


def _users(request: Any) -> list[bytes]:
    for tensor in request.inputs():
        if tensor.name() == "user_id":
            return [u if isinstance(u, bytes) else str(u).encode() for u in tensor.as_numpy().flat]
    return []


def _request_id(request: Any, users: Sequence[bytes]) -> str:
    """The caller's id of the request, unless it is made of a user's."""
    given = str(request.request_id())[:_ID]
    told = any(user and user.decode(errors="replace") in given for user in users)
    return "" if told else given


def _described(found: Any) -> dict[str, Any]:
    """Of an answer of the features step; nothing of an exception in its place."""
    if isinstance(found, Exception):
        return {}
    return {
        "k": int(found.tensors["top_k"].max()),
        "candidates": int((found.tensors["candidate"] > 0).sum()),
        "cold_starts": int(found.cold_starts),
        "unknown_items": int(found.unknown_items),
    }


def _degraded(answer: Any) -> bool:
    return not isinstance(answer, Exception) and bool(
        "degraded" in answer and answer["degraded"].any()
    )


def _sentence(error: Exception) -> str:
    """What a refused request is told, which repeats no id; of other errors only where they were."""
    if type(error).__name__ == "BadRequest":
        return str(error)[:_ERROR]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
