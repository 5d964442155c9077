"""``record``: the model beside the ensembles that stores what users do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ensembles import contracts as c
from ensembles.errors import ContractError
from ensembles.pipeline import Step

RECORD = Step(
    name="record",
    inputs=(
        *(c.USER_ID, c.EVENT_ITEM, c.EVENT, c.TIMESTAMP, c.EVENT_ID),
        *(c.REQUEST_ID, c.POSITION, c.RELEASE),
    ),
    spare_inputs=(c.SHOWN_SCORE, c.PROPENSITY, c.EXPLORED, c.COLD_START),
    outputs=(c.ACCEPTED, replace(c.EVENT_ID, optional=False)),
)
EVENT_WEIGHTS = {
    **dict.fromkeys(("view", "click", "add", "buy", "like"), 1.0),
    **dict.fromkeys(("dislike", "skip"), 0.0),
}
"""Types of a release that names none."""

IMPRESSION = "impression"
"""The type of what servers themselves log: an item that was shown."""


@dataclass(frozen=True)
class Recording:
    """What may be recorded.

    Attributes:
        weights: by event type; one with 0 is logged and joins no user's state.
        per_minute: events of one user in a minute.
        future_seconds: that a timestamp may be ahead of the server's clock.
        past_days: that it may be behind; in Redis, event ids are remembered for so long, too.
        impressions: share of the requests whose answers are logged, item by item.
        state_limit_mb: that a user state in LMDB may grow to, with its event log.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: EVENT_WEIGHTS)
    per_minute: int = 600
    future_seconds: int = 300
    past_days: float = 7.0
    state_limit_mb: int = 16_384
    impressions: float = 0.0

    def __post_init__(self) -> None:
        wrong = {n: w for n, w in self.weights.items() if not (n and 0 <= w < float("inf"))}
        if wrong or not self.weights:
            raise ContractError(f"event types need names and weights of 0 or more; got {wrong}")
        if not 0 <= self.impressions <= 1:
            raise ContractError(f"a share of impressions is 0 to 1; got {self.impressions}")

    def parameters(self) -> dict[str, str]:
        """As the model reads them."""
        shown = {IMPRESSION: 0.0} if self.impressions else {}
        return {
            "events": json.dumps({**self.weights, **shown}),
            "id_bytes": str(c.LIMITS.id_bytes),
            "per_minute": str(self.per_minute),
            "future_seconds": str(self.future_seconds),
            "past_days": str(self.past_days),
            "state_limit_mb": str(self.state_limit_mb),
        }
