"""What trials found, the Pareto front among it, and the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from builders.compress.result import Figures, pass_name
from builders.compress.search.slo import Objective


@dataclass(frozen=True)
class Candidate:
    """A model that a trial ended with.

    Attributes:
        name: of the trial.
        passes: settings of the passes that held both gates.
        latency_ms: percentile of the objective, at batch 1 on the target runtime.
        figures: as the chain measured them.
    """

    name: str
    passes: tuple[Mapping[str, Any], ...]
    latency_ms: float
    figures: Figures

    @property
    def loss(self) -> float:
        """Share of the uncompressed ranker's NDCG@10 that is lost; negative for a gain."""
        return -self.figures.change

    def describe(self) -> str:
        """The passes in one line."""
        return " > ".join(pass_name(p["kind"], p) for p in self.passes) or "no pass"

    def to_json(self) -> dict[str, Any]:
        """Plain data, see ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Candidate:
        """What ``to_json`` gave."""
        figures = Figures(**raw["figures"])
        return cls(raw["name"], tuple(raw["passes"]), raw["latency_ms"], figures)


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other beats in latency and quality, fastest first."""
    front: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (c.latency_ms, c.loss)):
        if not front or candidate.loss < front[-1].loss:
            front.append(candidate)
    return front


def best(candidates: Sequence[Candidate], objective: Objective) -> Candidate | None:
    """The one that loses least of those that meet the objective; of equals the faster one."""
    meeting = [c for c in candidates if c.latency_ms <= objective.milliseconds]
    return min(meeting, key=lambda c: (round(c.loss, 4), c.latency_ms), default=None)


def nearest(candidates: Sequence[Candidate]) -> Candidate:
    """The fastest. The gates of its chain saw to its quality."""
    return min(candidates, key=lambda c: c.latency_ms)
