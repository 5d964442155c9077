"""What the users of a load test send: users and pictures of the release, as bytes made before.

Building a request costs as much as sending it, so it is done before the clock runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np

from ensembles.errors import LoadTestError, did_you_mean
from ensembles.recommend import RECOMMEND, RECOMMEND_VISUAL
from serving import grpc_wire, http_wire
from serving.messages import Request, WireTensor, encode, ensemble_for

DRAWN = 4096
"""Requests that are drawn, and then sent over and over."""
_DRAWN_BYTES = 100_000_000
"""Fewer are drawn where their pictures would take more memory than this."""


class Protocol(StrEnum):
    """How requests travel."""

    GRPC = "grpc"
    HTTP = "http"


@dataclass(frozen=True)
class PreparedRequest:
    """One request as bytes.

    Attributes:
        body: the message (gRPC), or JSON followed by binary tensors (HTTP).
        ensemble: that it is for.
        headers: that an HTTP body comes with.
    """

    body: bytes
    ensemble: str
    headers: dict[str, str] = field(default_factory=dict)


def holdout_items(repository: Path) -> dict[str, str]:
    """The held-out item of each user of the newest release; none where it does not say.

    Raises:
        LoadTestError: as ``holdout_users``.
    """
    users = holdout_users(repository)
    items = json.loads(_about(repository, "holdout.json").read_text(encoding="utf-8")).get("items")
    return dict(zip(users, items or [], strict=False))


def catalogue_items(repository: Path) -> list[str]:
    """Ids of the items of the newest release.

    Raises:
        LoadTestError: there is no release, or its catalogue cannot be read or is empty.
    """
    path = _about(repository, "catalogue.json")
    try:
        items = list(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as e:
        raise LoadTestError(f"{path} should hold titles by item id ({e!r}); build again") from e
    if not items:
        raise LoadTestError(f"{path} should name at least one item; build the release again")
    return items


def _about(repository: Path, file: str) -> Path:
    return repository / RECOMMEND.name / str(_newest(repository)) / file


def holdout_users(repository: Path) -> list[str]:
    """Ids of the users that the newest release held an event out of.

    Raises:
        LoadTestError: there is no release, its file cannot be read, or it names no user.
    """
    path = _about(repository, "holdout.json")
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


def sample_pictures(repository: Path) -> list[bytes]:
    """Encoded pictures of the newest release's catalogue, by file name; none if it takes none.

    Raises:
        LoadTestError: there is no release, or it takes pictures and has none to send.
    """
    folder = repository / RECOMMEND_VISUAL.name / str(_newest(repository))
    if not folder.is_dir():
        return []
    try:
        found = [file.read_bytes() for file in sorted((folder / "samples").iterdir())]
    except OSError as e:
        raise LoadTestError(f"{folder}: cannot read its samples ({e}); build it again") from e
    if not found:
        raise LoadTestError(f"{folder / 'samples'} should hold pictures; build the release again")
    return found


def _newest(repository: Path) -> int:
    releases = [int(p.name) for p in (repository / RECOMMEND.name).glob("*") if p.name.isdigit()]
    if not releases:
        raise LoadTestError(
            f"expected a release in {repository / RECOMMEND.name}, found none; "
            "build one with: millirank build SETTINGS.toml"
        )
    return max(releases)


def offered(repository: Path) -> dict[str, list[bytes]]:
    """The ensembles that recommend, and the pictures to ask each with.

    Raises:
        LoadTestError: there is no release, or it takes pictures and has none to send.
    """
    pictures = sample_pictures(repository)
    return {RECOMMEND.name: [], **({RECOMMEND_VISUAL.name: pictures} if pictures else {})}


def requests_for(repository: Path, ensemble: str, seed: int) -> list[Request]:
    """What a load test sends to an ensemble: real users, each with a picture where it takes one.

    Raises:
        LoadTestError: the release has no such ensemble, or names no users.
    """
    asked = offered(repository)
    if ensemble not in asked:
        raise LoadTestError(
            f"the release in {repository} recommends by {list(asked)}; got {ensemble!r}."
            f"{did_you_mean(ensemble, asked)}"
        )
    largest = max(map(len, asked[ensemble]), default=1)
    count = max(1, min(DRAWN, _DRAWN_BYTES // largest))
    return draw(holdout_users(repository), count, seed, asked[ensemble])


def draw(
    users: Sequence[str], count: int, seed: int, pictures: Sequence[bytes] = ()
) -> list[Request]:
    """Requests of ``count`` of ``users``, each with one of ``pictures`` where there are any.

    Uniformly with replacement; the same for the same ``seed``.
    """
    rng = np.random.default_rng(seed)
    asking = [users[i] for i in rng.integers(len(users), size=count)]
    if not pictures:
        return [Request(user) for user in asking]
    shown = rng.integers(len(pictures), size=count)
    return [Request(u, image=pictures[i]) for u, i in zip(asking, shown, strict=True)]


def prepare(protocol: Protocol, requests: Sequence[Request]) -> list[PreparedRequest]:
    """Each of ``requests`` as bytes, in order."""
    made = {request: prepare_one(protocol, request) for request in set(requests)}
    return [made[request] for request in requests]


def prepare_one(protocol: Protocol, request: Request, request_id: str = "") -> PreparedRequest:
    """One request as bytes, with an id by which Triton's traces name it."""
    make = _grpc if protocol is Protocol.GRPC else _http
    return make(encode([request]), request_id)


def _grpc(tensors: Sequence[WireTensor], request_id: str) -> PreparedRequest:
    _, messages, _ = grpc_wire.load()
    ensemble = ensemble_for(tensors)
    message = grpc_wire.message(messages, ensemble, tensors, request_id)
    return PreparedRequest(message.SerializeToString(), ensemble=ensemble)


def _http(tensors: Sequence[WireTensor], request_id: str) -> PreparedRequest:
    body, headers = http_wire.body(tensors, request_id)
    return PreparedRequest(body, ensemble_for(tensors), headers)
