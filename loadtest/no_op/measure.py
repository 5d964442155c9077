"""How many requests a second one load process makes against a model that does nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ensembles.recommend import RECOMMEND
from loadtest.arrivals import Arrivals
from loadtest.bottleneck import GENERATOR_LIMIT, bottleneck, ceiling
from loadtest.no_op.repository import write_no_op
from loadtest.plan import Plan
from loadtest.run import play
from loadtest.scenario import Phase, Scenario
from loadtest.smoke import observe
from loadtest.traffic import Protocol
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer

USERS = 64
FIRST_RATE = 500.0
"""Requests/s of the run that the others are planned by."""
SHARES = (0.9, 0.7, 0.5, 0.35, 0.25)
"""Of the ceiling, tried one after the other until a schedule is kept."""


@dataclass(frozen=True)
class Speed:
    """One way of asking.

    Attributes:
        loop: open (the highest rate tried whose schedule was kept) or closed (``USERS`` users).
        requests_per_second: answered.
        generator_share: processor time of the load process, as a share of one core.
        bottleneck: why the load process was the limit; empty where the server was.
    """

    loop: str
    protocol: Protocol
    requests_per_second: float
    generator_share: float
    bottleneck: str

    @property
    def cpu_us(self) -> float:
        """Processor time of the load process for each request, in microseconds."""
        return 1e6 * self.generator_share / self.requests_per_second

    @property
    def ceiling(self) -> float:
        """Requests per second with a core to itself: 1 / CPU."""
        return ceiling(self.requests_per_second, self.generator_share)


def allowed(speeds: list[Speed]) -> float:
    """Requests/s that a scenario may ask of one load process, by the dearest open loop."""
    return GENERATOR_LIMIT * min(s.ceiling for s in speeds if s.loop == "open")


def measure(repository: Path, *, seconds: float, seed: int) -> list[Speed]:
    """Each loop over each protocol, with requests of the users of ``repository``.

    Args:
        seconds: of each run.

    Raises:
        LoadTestError: no users, or no answer.
        MissingExtra: Locust or Triton is not installed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="millirank-no-op-") as folder,
        TritonServer(write_no_op(Path(folder)), ServerOptions(ports=Ports(0, 0, 0))) as server,
    ):
        open_loop = [_open(server.ports, repository, p, seconds, seed) for p in Protocol]
        return open_loop + [_closed(server.ports, repository, p, seconds, seed) for p in Protocol]


def _closed(ports: Ports, repository: Path, protocol: Protocol, seconds: float, seed: int) -> Speed:
    plan = Plan.against(
        ports, repository, RECOMMEND.name, protocol, USERS, seconds, seed, warm_up_seconds=1.0
    )
    seen = observe(plan)
    rate, share = seen.answered.count / seen.seconds, seen.generator_share
    return Speed("closed", protocol, rate, share, bottleneck(share))


def _open(ports: Ports, repository: Path, protocol: Protocol, seconds: float, seed: int) -> Speed:
    """The highest of some rates whose schedule is kept; the first one where none is."""

    def at(rate: float) -> Speed:
        scenario = Scenario(
            about="a model that does nothing",
            phases=(Phase(seconds=seconds, rate=rate),),
            arrivals=Arrivals.CONSTANT,
            grpc=float(protocol is Protocol.GRPC),
            warm_up_seconds=1.0,
        )
        run = play("no-op", scenario, ports, repository, seed=seed)
        late = "requests were left without an answer" if run.errors else run.bottleneck
        return Speed("open", protocol, run.requests_per_second, run.generator_share, late)

    first = at(FIRST_RATE)
    tried: Iterator[Speed] = (at(share * first.ceiling) for share in SHARES)
    return next((speed for speed in tried if not speed.bottleneck), first)
