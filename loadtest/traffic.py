"""What the users of a load test send: real users of the release, as bytes made ahead of time.

Building a request costs as much as sending it, so it is done before the clock runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from ensembles.errors import LoadTestError
from ensembles.recommend import RECOMMEND
from serving import grpc_wire, http_wire
from serving.messages import Request, WireTensor, encode


class Protocol(StrEnum):
    """How requests travel."""

    GRPC = "grpc"
    HTTP = "http"


@dataclass(frozen=True)
class PreparedRequest:
    """One request as bytes.

    Attributes:
        body: the message (gRPC), or JSON followed by binary tensors (HTTP).
        headers: that an HTTP body comes with.
    """

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def holdout_users(repository: Path) -> list[str]:
    """Ids of the users that the newest release held an event out of.

    Raises:
        LoadTestError: there is no release, its file cannot be read, or it names no user.
    """
    releases = [p for p in (repository / RECOMMEND.name).glob("*") if p.name.isdigit()]
    if not releases:
        raise LoadTestError(
            f"expected a release in {repository / RECOMMEND.name}, found none; "
            "build one with: millirank build SETTINGS.toml"
        )
    path = max(releases, key=lambda p: int(p.name)) / "holdout.json"
    try:
        users = json.loads(path.read_text(encoding="utf-8"))["users"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise LoadTestError(
            f"{path} should hold an object with a list 'users' ({e!r}); build the release again"
        ) from e
    if not (isinstance(users, list) and users and all(isinstance(u, str) for u in users)):
        raise LoadTestError(
            f"{path}: 'users' should be a list of at least one id; "
            "build with [serving] hold_out_test = true to load-test with real users"
        )
    return users


def draw(users: Sequence[str], count: int, seed: int) -> list[str]:
    """``count`` of ``users``, uniformly with replacement; the same for the same ``seed``."""
    picks = np.random.default_rng(seed).integers(len(users), size=count)
    return [users[i] for i in picks]


def prepare(protocol: Protocol, users: Sequence[str]) -> list[PreparedRequest]:
    """A request for the default number of recommendations for each of ``users``, in order."""
    make = _grpc if protocol is Protocol.GRPC else _http
    made = {user: make(encode([Request(user)])) for user in set(users)}
    return [made[user] for user in users]


def _grpc(tensors: Sequence[WireTensor]) -> PreparedRequest:
    _, messages, _ = grpc_wire.load()
    message = grpc_wire.message(messages, RECOMMEND.name, tensors)
    return PreparedRequest(message.SerializeToString())


def _http(tensors: Sequence[WireTensor]) -> PreparedRequest:
    return PreparedRequest(*http_wire.body(tensors))
