"""A short load test with real users over gRPC and HTTP, and where the time went."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ensembles.errors import LoadTestError, MissingExtra
from loadtest.bottleneck import bottleneck, ceiling
from loadtest.budget import Budget
from loadtest.load_process import in_own_process
from loadtest.percentiles import Latency
from loadtest.plan import Observed, Plan
from loadtest.step_statistics import chain_times, read_chain
from loadtest.traffic import Protocol, holdout_users, offered
from serving.ports import Ports

WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class ProtocolLoad:
    """Figures of one ensemble over one protocol, warm-up left out.

    Attributes:
        seconds: length of the measured window.
        latency: of answered requests, on the client's clock.
        errors: how often each error came, the most frequent first.
        generator_share: processor time of the load process, as a share of one core.
    """

    ensemble: str
    protocol: Protocol
    seconds: float
    latency: Latency
    errors: dict[str, int]
    generator_share: float
    budget: Budget

    @property
    def name(self) -> str:
        """The ensemble and the protocol."""
        return f"{self.ensemble} {self.protocol}"

    @property
    def requests_per_second(self) -> float:
        """Answered requests per second."""
        return self.latency.count / self.seconds

    @property
    def failed(self) -> int:
        """Requests that got no answer."""
        return sum(self.errors.values())

    @property
    def generator_ceiling(self) -> float:
        """Requests per second that the load process could make with a core to itself."""
        return ceiling(self.requests_per_second, self.generator_share)

    @property
    def bottleneck(self) -> str:
        """Why the load process, and not the server, may have set the figures; empty if not."""
        return bottleneck(self.generator_share)


@dataclass(frozen=True)
class LoadResult:
    """What a load test found, one ensemble and protocol after the other."""

    users: int
    seed: int
    loads: tuple[ProtocolLoad, ...]

    @property
    def errors(self) -> int:
        """Requests that got no answer, all together."""
        return sum(load.failed for load in self.loads)

    @property
    def good(self) -> bool:
        """Whether every request was answered, and the server set the figures."""
        return not self.errors and not any(load.bottleneck for load in self.loads)


def smoke_test(
    ports: Ports,
    repository: Path,
    *,
    host: str = "127.0.0.1",
    seconds: float = 15.0,
    users: int = 8,
    protocols: Sequence[str] = ("grpc", "http"),
    seed: int = 42,
    workers: int = 0,
) -> LoadResult:
    """Load a running server with users of its release, one ensemble and protocol after the other.

    ``recommend_visual`` gets its share where the release takes pictures.

    Args:
        ports: where the server listens.
        repository: the model repository that it serves; users and pictures are drawn from it.
        seconds: measured time, shared equally by all; a second of warm-up and some two of
            starting a process come on top for each.
        users: how many ask at the same time.
        seed: the same seed sends the same requests.
        workers: processes that share the users, under a Locust master; 0 is one without.

    Raises:
        LoadTestError: a wrong argument, no such server, no users, or no answer.
        MissingExtra: Locust is not installed.
    """
    if importlib.util.find_spec("locust") is None:
        raise MissingExtra("locust", "loadtest")
    known = {p.value for p in Protocol}
    if not protocols or not set(protocols) <= known:
        raise LoadTestError(f"protocols are one or more of {sorted(known)}; got {protocols!r}")
    holdout_users(repository)  # fails here, and not in another process, when there are none
    asked = [(ensemble, Protocol(p)) for ensemble in offered(repository) for p in protocols]
    steps = {ensemble: read_chain(host, ports.http, ensemble) for ensemble, _ in asked}
    plans = [
        Plan.against(
            ports,
            repository,
            ensemble,
            protocol,
            users,
            seconds / len(asked),
            seed,
            warm_up_seconds=WARM_UP_SECONDS,
            host=host,
        )
        for ensemble, protocol in asked
    ]
    loads = tuple(_load(plan, steps[plan.ensemble], workers) for plan in plans)
    return LoadResult(users, seed, loads)


def _load(plan: Plan, steps: tuple[str, ...], workers: int) -> ProtocolLoad:
    command = ("-m", "loadtest.master", str(workers)) if workers else ("-m", "loadtest.generator")
    observed = observe(plan, command)
    chain = chain_times(observed.before, observed.after, steps, plan.ensemble)
    return ProtocolLoad(
        ensemble=plan.ensemble,
        protocol=plan.protocol,
        seconds=observed.seconds,
        latency=observed.answered,
        errors=observed.errors,
        generator_share=observed.generator_share,
        budget=Budget(observed.answered.mean_ms, observed.round_trip.mean_ms, chain),
    )


def observe(plan: Plan, command: Sequence[str] = ("-m", "loadtest.generator")) -> Observed:
    """Run the plan where Locust may replace the standard library's sockets and threads."""
    limit = plan.warm_up_seconds + plan.seconds
    return Observed.read(in_own_process(json.dumps(asdict(plan)), limit, command))
