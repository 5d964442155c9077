"""Two settings under the same load in turns: A B B A A B. Drift of the machine meets both alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp
from typing import Any, Self

import numpy as np

ROUNDS = 5
"""Rounds that decide."""
LEAST_GAIN = 0.02
"""A latency that is lower by less than this share is not worth other settings."""
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Figures:
    """One run of one of the two.

    Attributes:
        ms: the percentile that is compared.
        ndcg: NDCG@10 under load; None where nothing was scored.
        missed: conditions of the objective other than latencies.
        bottleneck: why the load process may have set the figures; empty where it did not.
    """

    ms: float
    ndcg: float | None
    missed: tuple[str, ...] = ()
    bottleneck: str = ""


@dataclass(frozen=True)
class Duel:
    """Paired ratios of a latency, the challenger's over that of the best so far.

    Attributes:
        ratios: a round each; rounds that the load process spoilt are left out.
        out: why the challenger is out whatever its latency; empty where it is not.
        rounds: how many were to be played.
    """

    ratios: tuple[float, ...]
    out: str
    rounds: int = ROUNDS

    @property
    def ratio(self) -> float:
        """Geometric mean; 1 where no round counted."""
        return float(np.exp(np.mean(np.log(self.ratios)))) if self.ratios else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """Of ``ratio``: 95 %, by Student's t on the logarithms."""
        if len(self.ratios) < 2:
            return 0.0, float("inf")
        from scipy.stats import t

        logs = np.log(self.ratios)
        reach = t.ppf((1 + _CONFIDENCE) / 2, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5
        return float(exp(logs.mean() - reach)), float(exp(min(logs.mean() + reach, 700.0)))

    @property
    def better(self) -> bool:
        """Whether the challenger is faster beyond the noise."""
        complete = len(self.ratios) == self.rounds and not self.out
        return complete and self.interval[1] < 1 - LEAST_GAIN

    def line(self) -> str:
        """In a few words."""
        if self.out:
            return f"out: {self.out}"
        low, high = self.interval
        reach = f", 95 % {low:.2f} to {high:.2f}" if len(self.ratios) > 1 else ""
        return f"{self.ratio:.3f} times the latency{reach}, {len(self.ratios)} rounds"

    def fields(self) -> dict[str, Any]:
        """For JSON; ``read`` is the reverse."""
        return {"ratios": list(self.ratios), "out": self.out, "rounds": self.rounds}

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Self:
        """From ``fields``."""
        return cls(**{**fields, "ratios": tuple(fields["ratios"])})


def fight(
    best: Callable[[], Figures],
    challenger: Callable[[], Figures],
    ndcg_loss: float,
    rounds: int = ROUNDS,
) -> Duel:
    """Load both in turns until it is decided.

    It ends early when the challenger misses what it must not, and when it cannot be hoped to win:
    slower in each of two rounds, or in the mean of three. As many rounds may be repeated as there
    are.

    Args:
        best, challenger: each call is one run under load.
        ndcg_loss: how much lower the challenger's NDCG@10 may be.
    """
    ratios: list[float] = []
    for number in range(2 * rounds):
        order = (best, challenger) if number % 2 == 0 else (challenger, best)
        first, second = (side() for side in order)
        ours, theirs = (first, second) if number % 2 == 0 else (second, first)
        if why := _out(ours, theirs, ndcg_loss):
            return Duel(tuple(ratios), why, rounds)
        if not (ours.bottleneck or theirs.bottleneck):
            ratios.append(theirs.ms / ours.ms)
        duel = Duel(tuple(ratios), "", rounds)
        if len(ratios) == rounds or _hopeless(duel):
            return duel
    spoilt = "" if ratios else "the load process was the limit in every round"
    return Duel(tuple(ratios), spoilt, rounds)


def _hopeless(duel: Duel) -> bool:
    count = len(duel.ratios)
    return (count >= 3 and duel.ratio >= 1) or (count >= 2 and min(duel.ratios) >= 1)


def _out(best: Figures, challenger: Figures, ndcg_loss: float) -> str:
    """What the challenger misses and the best does not."""
    lost = [m for m in challenger.missed if not best.missed]
    if best.ndcg is not None and (challenger.ndcg or 0.0) < best.ndcg - ndcg_loss:
        lost.append(f"NDCG@10 under load {challenger.ndcg or 0.0:.4f}, best {best.ndcg:.4f}")
    return "; ".join(lost)
