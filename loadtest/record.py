"""What a run of a scenario found: one frozen record, kept as JSON for reports to come."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from ensembles.errors import LoadTestError
from loadtest.bottleneck import bottleneck, ceiling
from loadtest.budget import Budget
from loadtest.memory import Samples
from loadtest.percentiles import Latency
from loadtest.spent import Traced
from loadtest.step_statistics import ChainTimes, StepTimes


@dataclass(frozen=True)
class Quality:
    """Answers under load, scored against the held-out items, and those to the same requests before.

    Attributes:
        scored: answers to users with a held-out item.
        ndcg_loaded, ndcg_unloaded: NDCG@10 of them.
        same: share of all compared answers that list the very same items.
        gains: NDCG@10 under load of each scored request, the mean of its answers.
    """

    scored: int
    ndcg_loaded: float
    ndcg_unloaded: float
    same: float
    gains: tuple[float, ...] = ()


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
        memory_mb: of each process of the server, at first and at last; empty where unknown.
        budgets: by ensemble; those of steps that several ensembles share are means over all.
        traced: where single requests spent their time; None where nothing was traced.
        failed_s: when those were due that got no answer.
        memory_samples: what ``memory_mb`` is made of.
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
    failed_s: tuple[float, ...] = ()
    memory_samples: dict[str, Samples] = field(default_factory=dict)

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
        return ceiling(self.requests_per_second, self.generator_share)

    @property
    def bottleneck(self) -> str:
        """Why the load process, and not the server, may have set the figures; empty if not."""
        return bottleneck(self.generator_share, self.late_p99_ms)

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
                    "failed_s": tuple(fields["failed_s"]),
                    "quality": _quality(fields["quality"]) if fields["quality"] else None,
                    "memory_mb": {k: (v[0], v[1]) for k, v in fields["memory_mb"].items()},
                    "memory_samples": {
                        k: tuple((s, mb) for s, mb in v)
                        for k, v in fields.get("memory_samples", {}).items()
                    },
                    "budgets": {k: _budget(v) for k, v in fields["budgets"].items()},
                    "traced": Traced.read(fields["traced"]) if fields.get("traced") else None,
                }
            )
        except (ValueError, KeyError, TypeError) as e:
            raise LoadTestError(
                f"expected a run as `millirank loadtest --json` writes it, got {e!r}"
            ) from e


def _quality(fields: dict[str, Any]) -> Quality:
    return Quality(**{**fields, "gains": tuple(fields["gains"])})


def _budget(fields: dict[str, Any]) -> Budget:
    chain = fields.pop("chain")
    steps = tuple(StepTimes(**step) for step in chain["steps"])
    return Budget(**fields, chain=ChainTimes(StepTimes(**chain["ensemble"]), steps))
