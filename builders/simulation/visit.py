"""One user's session: asks, looks, clicks, tells the server, and asks again."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from builders.simulation.behaviour import clicks, draws, moments
from builders.simulation.plan import K, Plan
from serving.events import Event, Recorded
from serving.messages import Recommendation, Request


class Server(Protocol):
    """What a user needs of one; ``serving.client.Client`` is one."""

    def recommend(self, request: Request, *, request_id: str | None) -> Recommendation:
        """An answer; the same id explores the same slots."""

    def record_many(self, events: Sequence[Event]) -> list[Recorded]:
        """Store events."""


@dataclass(frozen=True)
class Visit:
    """What came of a user's session in one round.

    Attributes:
        shown: the items of each answer.
        gains: NDCG@10 of each answer against what the user would still like; of answers to a
            user that had nothing left, there is none.
        clicked: items, each once.
        release: that gave the answers.
    """

    shown: list[Sequence[str]]
    gains: list[float]
    clicked: list[str]
    release: int


def visit(
    server: Server,
    name: str,
    user: int,
    likes: Collection[str],
    plan: Plan,
    number: int,
    start: int,
) -> Visit:
    """Play the session of a user in a round.

    Args:
        name: the user's external id.
        user: the user's number, for the random numbers.
        likes: what the user would still like.
        number: of the round.

    Raises:
        RequestError: the server did not answer.
    """
    left, found = set(likes), Visit([], [], [], 0)
    for n, moment in enumerate(moments(plan, number, user, start)):
        answer = server.recommend(Request(name, k=K), request_id=f"{plan.seed}-{number}-{user}-{n}")
        found.shown.append(answer.items)
        found = replace(found, release=answer.release)
        if left:
            found.gains.append(ndcg(answer.items, left))
        clicked = clicks(answer.items, left, draws(plan, number, user, n), plan)
        if clicked:
            # Known to the server before the next request.
            server.record_many(
                [
                    Event.answering(answer, name, item, plan.event, moment + place)
                    for place, item in enumerate(clicked)
                ]
            )
        found.clicked.extend(clicked)
        left.difference_update(clicked)
    return found


def ndcg(shown: Sequence[str], likes: Collection[str]) -> float:
    """NDCG@10 with one grade of relevance (Jarvelin and Kekalainen 2002); ``likes`` not empty."""
    gain = sum(1 / math.log2(p + 2) for p, item in enumerate(shown[:K]) if item in likes)
    return gain / sum(1 / math.log2(p + 2) for p in range(min(K, len(likes))))
