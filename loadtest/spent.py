"""Where the time of single requests went: U, X and M of the median and of the tail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from loadtest.budget import PART_OF_STEP, Part

TAIL = 20
"""The tail is the slowest 1 % of the traced requests, and at least so many of them."""
SLOWEST = 5
"""So many are listed one by one."""


@dataclass(frozen=True)
class StepSpent:
    """A request in a step: waiting in front of it, and until the next step was asked."""

    name: str
    queue_ms: float
    work_ms: float


@dataclass(frozen=True)
class Spent:
    """One request, or the means of several, in ms; the pieces add up to ``client_ms``.

    Attributes:
        about: what it is.
        requests: how many.
        client_ms: on the client's clock, from the moment the request was due.
        arriving_ms: until the first step was asked: load process, network, front end.
        steps: in order.
        leaving_ms: from the end of the last step until the client had its answer.
    """

    about: str
    requests: int
    client_ms: float
    arriving_ms: float
    steps: tuple[StepSpent, ...]
    leaving_ms: float

    def pieces(self) -> dict[str, float]:
        """Everything by name, in order."""
        found = {"getting to the steps": self.arriving_ms}
        for step in self.steps:
            if step.queue_ms:  # the joined model has one queue
                found[f"queueing before {step.name}"] = step.queue_ms
            found[step.name] = step.work_ms
        return found | {"getting back to the client": self.leaving_ms}

    def part_ms(self, part: Part) -> float:
        """U, X or M, as the budget has them: X and M are work, and whatever else is U."""
        work = sum(s.work_ms for s in self.steps if PART_OF_STEP[s.name] is part)
        if part is not Part.U:
            return work
        queues = sum(s.queue_ms for s in self.steps)
        return work + queues + self.arriving_ms + self.leaving_ms

    def sentence(self) -> str:
        """The parts, and the largest piece."""
        parts = ", ".join(
            f"{p} {self.part_ms(p):.2f} ms ({self.part_ms(p) / self.client_ms:.0%})" for p in Part
        )
        pieces = self.pieces()
        largest = max(pieces, key=pieces.__getitem__)
        return (
            f"{self.about} is made of {parts}: the largest piece is {largest} "
            f"({pieces[largest]:.2f} ms, {pieces[largest] / self.client_ms:.0%})"
        )


@dataclass(frozen=True)
class Traced:
    """What the traces of a run say.

    Attributes:
        every: one request in so many was to be traced.
        count: traces that belong to an answer of the run.
        stages_measured: whether the stages of the joined model were timed for each batch;
            otherwise its time is split as in the mean.
        median: means of the traced requests between the 40th and the 60th percentile.
        tail: of the slowest 1 %, and at least ``TAIL`` of them where there are as many.
        slowest: single ones.
    """

    every: int
    count: int
    stages_measured: bool
    median: Spent
    tail: Spent
    slowest: tuple[Spent, ...]

    @property
    def how_many(self) -> str:
        """As words."""
        share = f", one in {self.every}" if self.every > 1 else ""
        return f"{self.count:,} requests traced{share}"

    @classmethod
    def of(cls, every: int, spent: Sequence[Spent], *, stages_measured: bool) -> Self | None:
        """Summarise single requests; None where there are none."""
        if not spent:
            return None
        ordered, count = sorted(spent, key=lambda s: s.client_ms), len(spent)
        middle = ordered[int(0.4 * count) : int(0.6 * count) + 1]
        tail = ordered[-max(TAIL, -(-count // 100)) :]
        return cls(
            every=every,
            count=count,
            stages_measured=stages_measured,
            median=mean("p50", middle),
            tail=mean("p99", tail),
            slowest=tuple(reversed(ordered[-SLOWEST:])),
        )

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Self:
        """From what ``dataclasses.asdict`` made."""
        several = tuple(_spent(one) for one in fields["slowest"])
        one = {name: _spent(fields[name]) for name in ("median", "tail")}
        return cls(**{**fields, **one, "slowest": several})


def mean(about: str, spent: Sequence[Spent]) -> Spent:
    """Of one request or more; one that never came to a step spent no time in it."""
    count = len(spent)
    sums = {name: [0.0, 0.0] for name in PART_OF_STEP}
    for step in (step for one in spent for step in one.steps):
        sums[step.name][0] += step.queue_ms / count
        sums[step.name][1] += step.work_ms / count
    seen = {step.name for one in spent for step in one.steps}
    return Spent(
        about=about,
        requests=count,
        client_ms=sum(s.client_ms for s in spent) / count,
        arriving_ms=sum(s.arriving_ms for s in spent) / count,
        steps=tuple(StepSpent(name, *sums[name]) for name in PART_OF_STEP if name in seen),
        leaving_ms=sum(s.leaving_ms for s in spent) / count,
    )


def _spent(fields: dict[str, Any]) -> Spent:
    return Spent(**{**fields, "steps": tuple(StepSpent(**step) for step in fields["steps"])})
