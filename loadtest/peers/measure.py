"""One measurement: what is asked of the process that makes the load, and what it saw."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from loadtest.load_process import in_own_process
from loadtest.peers.wire import Form
from loadtest.percentiles import Latency


@dataclass(frozen=True)
class Load:
    """A closed loop: so many clients, each asking again once answered.

    Attributes:
        port, pid: of the server; both 0 where there is none (in process).
        form: of the requests.
        repository: that users are drawn from.
        clients: that ask at the same time.
    """

    port: int
    pid: int
    form: Form
    repository: str
    clients: int
    seconds: float
    warm_up_seconds: float
    seed: int

    @classmethod
    def read(cls, text: str) -> Self:
        """From what ``json.dumps(asdict(load))`` wrote."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "form": Form(fields["form"])})


@dataclass(frozen=True)
class Point:
    """What was measured, warm-up left out.

    Attributes:
        seconds: length of the window.
        errors: requests that got no answer.
        server_seconds: processor time of the server with all its processes.
        generator_share: processor time of the load process, as a share of one core.
    """

    seconds: float
    latency: Latency
    errors: int
    server_seconds: float
    generator_share: float

    @property
    def requests_per_second(self) -> float:
        """Answered requests per second."""
        return self.latency.count / self.seconds

    @property
    def server_ms(self) -> float:
        """Processor time of the server for each request, in milliseconds."""
        return 1000 * self.server_seconds / self.latency.count

    @classmethod
    def read(cls, text: str) -> Self:
        """From what ``json.dumps(asdict(point))`` wrote."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**{**fields, "latency": Latency(**fields["latency"])})


def measure(load: Load) -> Point:
    """Carry a load out in a process of its own.

    Raises:
        LoadTestError: nothing was answered, or the process failed; it holds its last words.
    """
    module = "loadtest.peers.generate" if load.port else "loadtest.peers.in_process"
    seconds = load.warm_up_seconds + load.seconds
    return Point.read(in_own_process(json.dumps(asdict(load)), seconds, ("-m", module)))
