"""The latency budget P = f(U, X, M): where the time of a request goes.

P, the mean latency on the client's own clock, is set against three parts that are measured
without that clock, so that what they leave unexplained is a finding and not zero by definition:

    X  features (and preprocess, image_encoder): their busy time, from Triton's statistics
    M  ranker: its busy time, from Triton's statistics
    U  request handling, everything else:
         round trip  client, network and front end: timed on requests without tensors ("are you
                     alive?"), sent in between over the same connections under the same load
         waiting     Triton's time for the whole ensemble less the busy time of all steps:
                     the queues in front of the steps, and scheduling from one to the next
         policy      its busy time: it turns scores into the response, whatever made them
         late        how long after its moment a request left, in an open loop

    unexplained = P - (U + X + M); the closure error is its size as a share of P

Unexplained is, above all, reading the request's tensors and writing the answer's, and what a
saturated machine does to the one kind of request and not to the other.
Busy time is tensors in, the work, tensors out. A queue is waiting, not work: which step it
forms in front of is in the table of steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from ensembles.errors import LoadTestError, did_you_mean
from loadtest.step_statistics import ChainTimes, StepTimes


class Part(StrEnum):
    """The three parts of the budget."""

    U = "U"
    X = "X"
    M = "M"


PART_OF_STEP = {
    "preprocess": Part.X,
    "image_encoder": Part.X,
    "features": Part.X,
    "ranker": Part.M,
    "policy": Part.U,
}
REFERENCE_MS = {Part.U: 5.0, Part.X: 10.0, Part.M: 100.0}
"""The case that this project started from."""


@dataclass(frozen=True)
class Budget:
    """Means per request, in milliseconds.

    Attributes:
        client_ms: P, on the client's clock.
        round_trip_ms: a request that no step sees, on the client's clock.
        chain: the ensemble and its steps, on the server's clock.
        late_ms: from the moment that a request was due to its leaving, which P includes.

    Raises:
        LoadTestError: a time is not a finite number that fits its role, or a step has no part.
    """

    client_ms: float
    round_trip_ms: float
    chain: ChainTimes
    late_ms: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.client_ms) and self.client_ms > 0):
            raise LoadTestError(f"the client's mean is more than 0 ms; got {self.client_ms}")
        if not (math.isfinite(self.round_trip_ms) and self.round_trip_ms >= 0):
            raise LoadTestError(f"the mean round trip is 0 ms or more; got {self.round_trip_ms}")
        for step in self.chain.steps:
            if step.name not in PART_OF_STEP:
                raise LoadTestError(
                    f"step {step.name!r} belongs to none of U, X, M; name it in PART_OF_STEP."
                    f"{did_you_mean(step.name, PART_OF_STEP)}"
                )

    @property
    def waiting_ms(self) -> float:
        """Queues and scheduling: the ensemble less its busy steps."""
        return self.chain.ensemble.total_ms - sum(step.busy_ms for step in self.chain.steps)

    def part_ms(self, part: Part) -> float:
        """U, X or M."""
        busy = sum(step.busy_ms for step in self.steps_of(part))
        around = self.round_trip_ms + self.waiting_ms + self.late_ms
        return busy + around if part is Part.U else busy

    def steps_of(self, part: Part) -> tuple[StepTimes, ...]:
        """The steps whose busy time counts towards ``part``, in order."""
        return tuple(step for step in self.chain.steps if PART_OF_STEP[step.name] is part)

    @property
    def unexplained_ms(self) -> float:
        """P - (U + X + M); below 0 when the parts add up to more than the client saw."""
        return self.client_ms - sum(self.part_ms(part) for part in Part)

    @property
    def closure_error(self) -> float:
        """Size of the unexplained time, as a share of P."""
        return abs(self.unexplained_ms) / self.client_ms

    def share(self, part: Part) -> float:
        """Share of P; the three and the unexplained share add up to 1."""
        return self.part_ms(part) / self.client_ms

    def halved_ms(self, part: Part) -> float:
        """P if ``part`` took half as long and all else stayed; under load queues shrink too."""
        return self.client_ms - self.part_ms(part) / 2

    def line(self) -> str:
        """The budget on one line."""
        parts = " + ".join(f"{p} {self.part_ms(p):.2f} ({self.share(p):.0%})" for p in Part)
        return (
            f"P = f(U, X, M): {self.client_ms:.2f} ms = {parts} "
            f"+ unexplained {self.unexplained_ms:+.2f} (closure error {self.closure_error:.1%})"
        )


def reference_share(part: Part) -> float:
    """Share of ``part`` in the reference case."""
    return REFERENCE_MS[part] / sum(REFERENCE_MS.values())
