"""Settings of ``record``: what a served release takes as feedback."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from builders.section import Section
from ensembles.record import EVENT_WEIGHTS, Recording


class Record(Section):
    """Events that servers take, and their limits."""

    only_logged: tuple[str, ...] = ("dislike", "skip")
    """Event types beside those of data.event_weights that are logged, and join no user's state."""
    per_minute: int = Field(600, ge=1)
    """Events of one user in a minute, counted by each server."""
    future_seconds: int = Field(300, ge=0)
    """A timestamp may be so far ahead of the server's clock; others are refused."""
    past_days: float = Field(7.0, gt=0)
    """It may be so far behind. Redis remembers event ids for so long, LMDB as long as the log."""
    impressions: float = Field(0.0, ge=0, le=1)
    """Share of the requests whose answers are logged, item by item with position and score. Only
    where serving.fuse_steps is on, and for requests with an id, as our clients give them."""
    state_limit_mb: int = Field(16_384, ge=64)
    """A user state in LMDB, with its event log, grows to this size; then events are refused."""

    def recording(self, weights: Mapping[str, float]) -> Recording:
        """For the configuration; ``weights`` of data.event_weights, ours where it has none."""
        known = weights or {name: w for name, w in EVENT_WEIGHTS.items() if w}
        return Recording(
            weights={**dict.fromkeys(self.only_logged, 0.0), **known},
            per_minute=self.per_minute,
            future_seconds=self.future_seconds,
            past_days=self.past_days,
            impressions=self.impressions,
            state_limit_mb=self.state_limit_mb,
        )
