"""The figures of the report, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from builders.outcomes.answers import Counts
from builders.outcomes.rate import Difference, Rate


@dataclass(frozen=True)
class OfRelease:
    """What became of what one release showed.

    Attributes:
        first, last: seconds since the epoch of its impressions; None where they say none.
        clicked: clicks of impressions.
        cold_start: answers to users of whom nothing was known, of those that say so.
        coverage: distinct items shown, of the catalogue; None where that is not known.
        items: distinct items shown.
    """

    release: int
    first: int | None
    last: int | None
    users: int
    items: int
    clicked: Rate
    cold_start: Rate
    coverage: float | None


@dataclass(frozen=True)
class AtPosition:
    """Clicks of the impressions at one place of the answers; of all releases where None."""

    position: int
    release: int | None
    clicked: Rate


@dataclass(frozen=True)
class Exploration:
    """Clicks of explored slots and of the others, of releases that explore, and the difference."""

    explored: Rate
    others: Rate
    difference: Difference

    @classmethod
    def of(cls, counts: Counts) -> Exploration | None:
        """None where no impression says whether it was explored."""
        rates = {row["explored"]: Rate.of(row["clicks"], row["shown"]) for row in counts.explored}
        explored, others = (rates.get(which, Rate.of(0, 0)) for which in (True, False))
        return cls(explored, others, Difference.of(explored, others)) if rates else None


@dataclass(frozen=True)
class Outcomes:
    """What became of what was shown.

    Attributes:
        exploration: None where no release explored.
        differences: of a release's rate to that of the one before it: (release, before, what).
        events: impressions that were answered, by type of event.
        unmatched: clicks whose impression was not exported.
    """

    clicked: Rate
    releases: tuple[OfRelease, ...]
    exploration: Exploration | None
    positions: tuple[AtPosition, ...]
    differences: tuple[tuple[int, int, Difference], ...]
    events: dict[str, int]
    unmatched: int

    @classmethod
    def of(cls, counts: Counts, catalogue: Mapping[int, int]) -> Outcomes:
        """From counts.

        Args:
            catalogue: how many items a release has, where that is known.
        """
        found = tuple(_of_release(row, catalogue.get(row["release"], 0)) for row in counts.releases)
        differences = (
            (new.release, old.release, Difference.of(new.clicked, old.clicked))
            for old, new in pairwise(found)
        )
        total = Rate.of(sum(r.clicked.count for r in found), sum(r.clicked.total for r in found))
        return cls(
            total,
            found,
            Exploration.of(counts),
            _positions(counts),
            tuple(differences),
            counts.events,
            counts.unmatched,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        differences = [
            {"release": new, "against": old, **asdict(found)}
            for new, old, found in self.differences
        ]
        return {**asdict(self), "differences": differences}


def _of_release(row: Mapping[str, Any], catalogue: int) -> OfRelease:
    return OfRelease(
        release=row["release"],
        first=row["first"],
        last=row["last"],
        users=row["users"],
        items=row["items"],
        clicked=Rate.of(row["clicks"], row["shown"]),
        cold_start=Rate.of(row["cold"], row["told"]),
        coverage=row["items"] / catalogue if catalogue else None,
    )


def _positions(counts: Counts) -> tuple[AtPosition, ...]:
    """Of all releases together, then of each."""
    clicks: Counter[int] = Counter()
    shown: Counter[int] = Counter()
    for row in counts.positions:
        clicks[row["position"]] += row["clicks"]
        shown[row["position"]] += row["shown"]
    together = [AtPosition(p, None, Rate.of(clicks[p], shown[p])) for p in sorted(shown)]
    each = (
        AtPosition(row["position"], row["release"], Rate.of(row["clicks"], row["shown"]))
        for row in counts.positions
    )
    return (*together, *each)
