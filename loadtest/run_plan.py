"""What goes into the process that plays a scenario, and how the server's figures are read there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Self

from loadtest.budget import Budget
from loadtest.scenario import Scenario
from loadtest.step_statistics import Snapshot, chain_times, read_chain, settled_snapshot
from loadtest.tracing import Tracing


@dataclass(frozen=True)
class RunPlan:
    """A scenario against a server; ``progress`` is the file to tell how far it is, if any."""

    name: str
    scenario: Scenario
    host: str
    http_port: int
    grpc_port: int
    metrics_port: int
    repository: str
    seed: int
    tracing: Tracing | None = None
    token: str = ""
    progress: str = ""

    def fields(self) -> dict[str, Any]:
        """For JSON; ``read`` is the reverse."""
        return {**asdict(self), "scenario": self.scenario.model_dump(mode="json")}

    def snapshot(self) -> Snapshot:
        """The server's statistics, while no request of the run is under way."""
        return settled_snapshot(self.host, self.http_port, self.metrics_port)

    def traced(self) -> AbstractContextManager[None]:
        """Trace while the context lasts, if at all."""
        if self.tracing is None:
            return nullcontext()
        return self.tracing.on(f"{self.host}:{self.http_port}", self.token)

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Self:
        """From ``fields``."""
        tracing = Tracing(**fields["tracing"]) if fields["tracing"] else None
        return cls(**{**fields, "scenario": Scenario(**fields["scenario"]), "tracing": tracing})


def budgets(
    plan: RunPlan,
    answered: Sequence[tuple[str, float]],
    probes: Sequence[float],
    late_ms: float,
    snapshots: tuple[Snapshot, Snapshot],
) -> dict[str, Budget]:
    """By ensemble, of its answers (ms); empty where no probe came back.

    Raises:
        LoadTestError: the server has no statistics of what it answered.
    """
    if not probes:
        return {}
    round_trip = sum(probes) / len(probes)
    found = {}
    for ensemble in sorted({name for name, _ in answered}):
        times = [ms for name, ms in answered if name == ensemble]
        steps = read_chain(plan.host, plan.http_port, ensemble)
        chain = chain_times(*snapshots, steps, ensemble)
        found[ensemble] = Budget(sum(times) / len(times), round_trip, chain, late_ms)
    return found
