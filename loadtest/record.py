"""What a run of a scenario found: one frozen record, kept as JSON for reports to come."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from ensembles.errors import LoadTestError
from loadtest.budget import Budget
from loadtest.percentiles import Latency
from loadtest.spent import Traced
from loadtest.step_statistics import ChainTimes, StepTimes

GENERATOR_LIMIT = 0.9
"""A load process that is busy for more of a core than this may be what limits the figures."""
LATE_MS = 10.0
"""A schedule is kept when 99 % of the requests leave no later than this after their moment."""


@dataclass(frozen=True)
class Quality:
    """Answers under load, scored against the held-out items, and those to the same requests before.

    Attributes:
        scored: answers to users with a held-out item.
        ndcg_loaded, ndcg_unloaded: NDCG@10 of them.
        same: share of all compared answers that list the very same items.
    """

    scored: int
    ndcg_loaded: float
    ndcg_unloaded: float
    same: float


@dataclass(frozen=True)
class RunRecord:
    """One run; times in ms on the client's clock, moments in s from the first measured one.

    Attributes:
        scenario: its name or file.
        loop: open (latencies count from the scheduled moment), closed, or both.
        due_s, latency_ms: of answered requests, in the order of the answers.
        late_p99_ms: how long after its moment a request left, 99th percentile; not the server's.
        errors: how often each error came.
        generator_share: processor time of the load process, as a share of one core.
        memory_mb: of each process of the server, before and after; empty where unknown.
        budgets: by ensemble; those of steps that several ensembles share are means over all.
        traced: where single requests spent their time; None where nothing was traced.
    """

    scenario: str
    loop: str
    seed: int
    seconds: float
    due_s: tuple[float, ...]
    latency_ms: tuple[float, ...]
    late_p99_ms: float
    errors: dict[str, int]
    generator_share: float
    quality: Quality | None
    memory_mb: dict[str, tuple[float, float]]
    budgets: dict[str, Budget]
    traced: Traced | None = None

    @property
    def latency(self) -> Latency:
        """Of answered requests."""
        return Latency.of(self.latency_ms)

    @property
    def requests_per_second(self) -> float:
        """Answered requests per second."""
        return len(self.latency_ms) / self.seconds

    @property
    def error_share(self) -> float:
        """Requests without an answer, of all."""
        failed = sum(self.errors.values())
        return failed / max(failed + len(self.latency_ms), 1)

    @property
    def memory_growth(self) -> float:
        """The largest of the server's processes, as a share of its memory before."""
        return max((after / before - 1 for before, after in self.memory_mb.values()), default=0.0)

    @property
    def generator_ceiling(self) -> float:
        """Requests per second that the load process could make with a core to itself."""
        return self.requests_per_second / max(self.generator_share, 1e-9)

    @property
    def bottleneck(self) -> str:
        """Why the load process, and not the server, may have set the figures; empty if not."""
        if self.generator_share > GENERATOR_LIMIT:
            return f"the load process was busy for {self.generator_share:.0%} of a core"
        if self.late_p99_ms > LATE_MS:
            return (
                f"the load process did not keep its schedule: 1 % of the requests left more than "
                f"{self.late_p99_ms:.0f} ms late"
            )
        return ""

    def to_json(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The reverse of ``to_json``.

        Raises:
            LoadTestError: the text is something else.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            return cls(
                **{
                    **fields,
                    "due_s": tuple(fields["due_s"]),
                    "latency_ms": tuple(fields["latency_ms"]),
                    "quality": Quality(**fields["quality"]) if fields["quality"] else None,
                    "memory_mb": {k: (v[0], v[1]) for k, v in fields["memory_mb"].items()},
                    "budgets": {k: _budget(v) for k, v in fields["budgets"].items()},
                    "traced": Traced.read(fields["traced"]) if fields.get("traced") else None,
                }
            )
        except (ValueError, KeyError, TypeError) as e:
            raise LoadTestError(
                f"expected a run as `millirank loadtest --json` writes it, got {e!r}"
            ) from e


def _budget(fields: dict[str, Any]) -> Budget:
    chain = fields.pop("chain")
    steps = tuple(StepTimes(**step) for step in chain["steps"])
    return Budget(**fields, chain=ChainTimes(StepTimes(**chain["ensemble"]), steps))
