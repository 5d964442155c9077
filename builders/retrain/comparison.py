"""Two releases on the same held-out events: is the new one worse?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.compress.gates import QualityChange, quality_change
from builders.retrain.window import Window


@dataclass(frozen=True)
class Comparison:
    """NDCG@10 of both releases, end to end, on events after what the new one was trained on.

    Attributes:
        after: seconds since the epoch; the events came later.
        queries: events that were asked for.
        users: who they are of; each counts once, by the mean of its events.
        before: of the current release.
        quality: of the new release, and its change against the current one.
        tolerance: how far below 0 the interval of the change may end.
    """

    after: int
    queries: int
    users: int
    before: float
    quality: QualityChange
    tolerance: float

    @classmethod
    def of(
        cls,
        window: Window,
        old: NDArray[np.float64],
        new: NDArray[np.float64],
        after: int,
        tolerance: float,
        seed: int,
    ) -> Comparison:
        """Of the queries' gains, float64 [M], by the current and by the new release."""
        if not len(old):
            return cls(after, 0, 0, 0.0, QualityChange(0.0, 0.0, 0.0, 0.0), tolerance)
        count = np.bincount(window.user)
        asked = count > 0  # Not of users whose new events are all of items they knew.
        was, now = (np.bincount(window.user, gain)[asked] / count[asked] for gain in (old, new))
        quality = quality_change(was, now, seed)
        return cls(after, len(old), int(asked.sum()), float(was.mean()), quality, tolerance)

    @property
    def not_worse(self) -> bool:
        """Whether the new release may be published; not where neither found anything."""
        told = self.before > 0 or self.quality.ndcg10 > 0
        return told and self.quality.low >= -self.tolerance

    def summary(self) -> str:
        """One line."""
        found, since = self.quality, datetime.fromtimestamp(self.after, UTC)
        return (
            f"{self.queries:,} events of {self.users:,} users after {since:%Y-%m-%d %H:%M:%S}: "
            f"NDCG@10 {self.before:.4f} -> {found.ndcg10:.4f} ({found.change:+.1%}, 95 % interval "
            f"{found.low:+.1%} to {found.high:+.1%}; tolerated {-self.tolerance:+.1%})"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, for the manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Comparison:
        """Out of what ``to_json`` gave."""
        return cls(**{**raw, "quality": QualityChange(**raw["quality"])})
