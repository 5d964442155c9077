"""What goes into the process that makes the load, and what comes back: plain JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ensembles.errors import LoadTestError
from loadtest.percentiles import Latency
from loadtest.step_statistics import Snapshot, Totals
from loadtest.traffic import Protocol
from serving.ports import Ports


@dataclass(frozen=True)
class Plan:
    """A closed loop: so many users of an ensemble over a protocol, each asking again once answered.

    Raises:
        LoadTestError: a number is out of range.
    """

    ensemble: str
    protocol: Protocol
    host: str
    http_port: int
    grpc_port: int
    repository: str
    users: int
    seconds: float
    warm_up_seconds: float
    seed: int
    metrics_port: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.users <= 1000:
            raise LoadTestError(f"one process plays 1 to 1000 users; got {self.users}")
        if self.seed < 0:
            raise LoadTestError(f"a seed is 0 or more; got {self.seed}")
        if not (0 < self.seconds < float("inf") and 0 <= self.warm_up_seconds < float("inf")):
            raise LoadTestError(
                "seconds of load are more than 0, and of warm-up 0 or more; "
                f"got {self.seconds} and {self.warm_up_seconds}"
            )

    @classmethod
    def against(
        cls,
        ports: Ports,
        repository: Path,
        ensemble: str,
        protocol: Protocol,
        users: int,
        seconds: float,
        seed: int,
        *,
        warm_up_seconds: float = 0.0,
        host: str = "127.0.0.1",
    ) -> Self:
        """A load on the server that listens at ``ports``, with users of ``repository``."""
        return cls(
            ensemble=ensemble,
            protocol=protocol,
            host=host,
            http_port=ports.http,
            grpc_port=ports.grpc,
            metrics_port=ports.metrics,
            repository=str(repository.resolve()),
            users=users,
            seconds=seconds,
            warm_up_seconds=warm_up_seconds,
            seed=seed,
        )

    @property
    def port(self) -> int:
        """Where the requests go."""
        return self.grpc_port if self.protocol is Protocol.GRPC else self.http_port

    @classmethod
    def read(cls, text: str) -> Self:
        """From what ``json.dumps(asdict(plan))`` wrote."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "protocol": Protocol(fields["protocol"])})


@dataclass(frozen=True)
class Observed:
    """What the load process saw in the measured window.

    Attributes:
        seconds: length of the window.
        answered, round_trip: requests that the chain answered, and probes that no step saw.
        errors: how often each error came.
        generator_share: processor time of the load process, as a share of one core.
        before, after: the server's statistics around the window.
    """

    seconds: float
    answered: Latency
    round_trip: Latency
    errors: dict[str, int]
    generator_share: float
    before: Snapshot
    after: Snapshot

    def write(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Self:
        """The reverse of ``write``."""
        fields: dict[str, Any] = json.loads(text)
        return cls(
            seconds=fields["seconds"],
            answered=Latency(**fields["answered"]),
            round_trip=Latency(**fields["round_trip"]),
            errors=fields["errors"],
            generator_share=fields["generator_share"],
            before={name: Totals(**t) for name, t in fields["before"].items()},
            after={name: Totals(**t) for name, t in fields["after"].items()},
        )
