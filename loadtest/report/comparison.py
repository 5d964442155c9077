"""A run against another one of the same scenario."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ensembles.errors import LoadTestError
from loadtest.objective import Verdict
from loadtest.report.noise import CONFIDENCE, MIN_BLOCKS, Change, changes
from loadtest.report.stored import StoredRun
from loadtest.scenario import Scenario


@dataclass(frozen=True)
class Comparison:
    """``other`` is the run that was there before; ``changes`` are empty where none can be told."""

    name: str
    other: StoredRun
    changes: tuple[Change, ...]

    @classmethod
    def of(cls, name: str, other: StoredRun, now: StoredRun) -> Self:
        """Compare figure by figure."""
        count = max(other.objective.minimum_count, now.objective.minimum_count)
        return cls(name, other, tuple(changes(other.run, now.run, count)))

    def verdicts(self) -> list[Verdict]:
        """A line for each figure; where nothing can be told, one that is missed."""
        label = f"against {self.other.when:%Y-%m-%d %H:%M}"
        if not self.changes:
            reason = f"both runs need {MIN_BLOCKS} s or more"
            return [Verdict(label, "no regression", "not comparable", reason)]
        return [
            Verdict(
                f"{change.figure} {label}",
                f"<= {worded(change, change.limit)}",
                worded(change, change.change),
                f"{interval(change)} ({CONFIDENCE:.0%})" if change.regressed else "",
            )
            for change in self.changes
        ]

    def line(self) -> str:
        """What changed, in one line."""
        told = ", ".join(f"{c.figure} {worded(c, c.change)} ({interval(c)})" for c in self.changes)
        return f"against {self.name} ({self.other.when:%Y-%m-%d %H:%M}): {told or 'too short'}"


def worded(change: Change, size: float) -> str:
    """A ratio of latencies as x1.05, a difference as +0.001."""
    return f"x{size:.2f}" if change.is_ratio else f"{size:+.3g}"


def interval(change: Change) -> str:
    """Both ends of it."""
    return f"{worded(change, change.low)} to {worded(change, change.high)}"


def read_other(path: Path, played: Scenario) -> StoredRun:
    """The run to compare with.

    Raises:
        LoadTestError: it cannot be read, or something else was played.
    """
    other = StoredRun.read(path)
    if other.played != played:
        raise LoadTestError(
            f"{path}: expected a run of the scenario as it is now, got one of "
            f"{other.run.scenario!r} with other settings; only like runs can be compared"
        )
    return other
