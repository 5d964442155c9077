"""Decodes and checks one request: from tensors to rows, or to a sentence that says what is wrong.

Messages never repeat what the caller sent as an id: they end up in logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]
"""Tensors of one request by name, each with a row a user: [rows, ...]."""

NumbersOf = Callable[[Sequence[bytes]], list[int]]
"""Item numbers of ids, 0 for unknown ones."""


class BadRequest(Exception):
    """The request itself is at fault; the message tells its sender why."""


@dataclass(frozen=True)
class Limits:
    """What a request may hold: values of k, bytes of an id, ids a row."""

    k_default: int
    k_max: int
    id_bytes: int
    candidates: int
    recent: int

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Limits:
        """Out of a model's parameters.

        Raises:
            ValueError: one is missing or no number.
        """
        try:
            return cls(**{f.name: int(parameters[f.name]) for f in fields(cls)})
        except (KeyError, ValueError) as e:
            raise ValueError(
                f"the features step needs the parameters {[f.name for f in fields(cls)]} as whole "
                f"numbers in its config.pbtxt: {e!r}"
            ) from e


@dataclass(frozen=True)
class Rows:
    """A checked request; all lists have one entry a row.

    Attributes:
        users: user ids.
        k: int32 [rows].
        candidates: distinct item numbers, empty where retrieval is asked for.
        recent: item numbers, newest last.
        unknown: ids that this release does not know, in all rows.
        query: float32 [rows, V], vectors of the rows' pictures; None where there are none.
        seed: uint64 [rows], 0 for rows that do not explore; None where the caller cannot.
    """

    users: list[bytes]
    k: NDArray[np.int32]
    candidates: list[list[int]]
    recent: list[list[int]]
    unknown: int
    query: NDArray[np.float32] | None = None
    seed: NDArray[np.uint64] | None = None


def decode(tensors: Tensors, limits: Limits, numbers_of: NumbersOf, visual_width: int = 0) -> Rows:
    """Check one request and turn its ids into numbers.

    Args:
        visual_width: V, length of a visual vector; 0 for a release that takes no pictures.

    Raises:
        BadRequest: anything that is out of ``limits``, empty, or not UTF-8.
    """
    if "user_id" not in tensors:
        raise BadRequest("user_id: expected one id a row, but the request has no such input")
    users: list[bytes] = tensors["user_id"].ravel().tolist()
    if not all(users):
        raise BadRequest("user_id: expected an id, got an empty string")
    _check_ids("user_id", users, limits.id_bytes)
    k = _decode_k(tensors.get("k"), len(users), limits)
    recent, unknown_recent = _decode_items("recent", tensors, limits.recent, limits, numbers_of)
    given, unknown = _decode_items("candidates", tensors, limits.candidates, limits, numbers_of)
    for row in given:
        if row is not None and not row:
            raise BadRequest("candidates: none of the given ids is known in this release")
    candidates = [list(dict.fromkeys(row or ())) for row in given] or [[] for _ in users]
    return Rows(
        users=users,
        k=k,
        candidates=candidates,
        recent=[row or [] for row in recent] or [[] for _ in users],
        unknown=unknown + unknown_recent,
        query=_decode_query(tensors.get("visual_vector"), visual_width),
        seed=_decode_seed(tensors, candidates),
    )


def _decode_seed(
    tensors: Tensors, candidates: Sequence[Sequence[int]]
) -> NDArray[np.uint64] | None:
    """Rows that say what is to be ranked, or what it should look like, do not explore."""
    if "seed" not in tensors:
        return None
    asks = np.array([bool(row) or "visual_vector" in tensors for row in candidates])
    return np.where(asks, np.uint64(0), tensors["seed"].ravel())


def _decode_query(
    query: NDArray[np.float32] | None, visual_width: int
) -> NDArray[np.float32] | None:
    if query is None:
        return None
    if not visual_width:
        raise BadRequest("image: this release takes no pictures")
    if query.shape[1] != visual_width or not np.isfinite(query).all():
        raise BadRequest(
            f"visual_vector: expected {visual_width} finite numbers a row, "
            f"got {query.shape[1]} or others"
        )
    return query


def _decode_k(k: NDArray[Any] | None, rows: int, limits: Limits) -> NDArray[np.int32]:
    if k is None:
        return np.full(rows, limits.k_default, np.int32)
    for value in k.ravel().tolist():  # of few rows, so faster than comparing arrays
        if not 1 <= value <= limits.k_max:
            raise BadRequest(f"k: expected 1 to {limits.k_max}, got {value}")
    return k.astype(np.int32).reshape(-1)


def _decode_items(
    name: str, tensors: Tensors, most: int, limits: Limits, numbers_of: NumbersOf
) -> tuple[list[list[int] | None], int]:
    """Known item numbers a row (None where the row has no id) and how many ids are unknown."""
    tensor = tensors.get(name)
    if tensor is None:
        return [], 0
    if tensor.shape[1] > most:
        raise BadRequest(f"{name}: expected at most {most} ids, got {tensor.shape[1]}")
    rows = [_without_padding(name, row, len(tensor) > 1) for row in tensor.tolist()]
    ids = [item_id for row in rows for item_id in row]
    _check_ids(name, ids, limits.id_bytes)
    numbers = iter(numbers_of(ids))
    known = [[n for n in islice(numbers, len(row)) if n] if row else None for row in rows]
    return known, len(ids) - sum(len(row) for row in known if row)


def _without_padding(name: str, row: list[bytes], padded: bool) -> list[bytes]:
    """Rows of one request are padded with empty strings to equal length; nothing else is."""
    end = len(row)
    while padded and end and not row[end - 1]:
        end -= 1
    row = row[:end]
    if not all(row):
        raise BadRequest(
            f"{name}: expected ids, got an empty string; only the ends of rows may be filled up "
            "with empty strings, and only in a request of several rows"
        )
    return row


def _check_ids(name: str, ids: Sequence[bytes], most: int) -> None:
    longest = max(map(len, ids), default=0)
    if longest > most:
        raise BadRequest(f"{name}: expected ids of at most {most} bytes, got one of {longest}")
    try:
        # Joined with a byte between them, so that two halves cannot make up a whole character.
        b"\n".join(ids).decode()
    except UnicodeDecodeError:
        raise BadRequest(f"{name}: expected UTF-8, got other bytes") from None
