"""What a scenario's requests are: drawn from the release's own data, the same for the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from loadtest.scenario import Scenario
from loadtest.traffic import (
    DRAWN,
    PreparedRequest,
    Protocol,
    catalogue_items,
    holdout_items,
    holdout_users,
    prepare_one,
    sample_pictures,
)
from serving.messages import Request

Drawn = TypeVar("Drawn")

VISITORS = 64
"""Sessions that go on at the same time."""
RECENT = 50
"""Touches of a session that its requests tell, the newest ones."""


@dataclass(frozen=True)
class Line:
    """One request of the script.

    Attributes:
        target: the item that was held out of the user's history; None for new users.
    """

    protocol: Protocol
    request: Request
    target: str | None


def write_script(scenario: Scenario, repository: Path, seed: int, count: int = DRAWN) -> list[Line]:
    """``count`` requests, to be sent in this order.

    Raises:
        LoadTestError: the release names no users, or no items where the scenario touches some.
    """
    rng = np.random.default_rng(seed)
    users, targets = holdout_users(repository), holdout_items(repository)
    items = catalogue_items(repository) if scenario.recent else []
    pictures = sample_pictures(repository) if scenario.pictures else []
    ranked = [users[i] for i in rng.permutation(len(users))]
    weights = _zipf(len(ranked), scenario.skew)
    hot = [items[i] for i in rng.permutation(len(items))[: scenario.hot_items]]
    sessions: list[tuple[str, list[str]] | None] = [None] * VISITORS
    lines = []
    for number in range(count):
        visitor = int(rng.integers(VISITORS))
        session = sessions[visitor]
        if session is None:
            known = rng.random() < scenario.returning
            user = ranked[int(rng.choice(len(ranked), p=weights))] if known else f"new-{number}"
            session = sessions[visitor] = (user, [])
        user, touched = session
        request = Request(
            user,
            recent=tuple(touched[-RECENT:]) or None,
            image=_pick(rng, pictures) if pictures and rng.random() < scenario.pictures else None,
        )
        protocol = Protocol.GRPC if rng.random() < scenario.grpc else Protocol.HTTP
        lines.append(Line(protocol, request, targets.get(user)))
        if items:
            touched.append(_pick(rng, hot if hot and rng.random() < scenario.hot_share else items))
        if rng.random() < 1 / scenario.session:
            sessions[visitor] = None
    return lines


def as_bytes(lines: Sequence[Line]) -> list[PreparedRequest]:
    """What each line sends; its number is the id of the request."""
    return [prepare_one(a.protocol, a.request, str(number)) for number, a in enumerate(lines)]


def _zipf(count: int, exponent: float) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = 1 / np.arange(1, count + 1, dtype=np.float64) ** exponent
    weights /= weights.sum()
    return weights


def _pick(rng: np.random.Generator, values: Sequence[Drawn]) -> Drawn:
    return values[int(rng.integers(len(values)))]
