"""One request at a time, through the client that applications use: the latency without load."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ensembles.errors import LoadTestError
from ensembles.recommend import RECOMMEND_VISUAL
from loadtest.percentiles import Latency
from loadtest.step_statistics import ChainTimes, chain_times, read_chain, settled_snapshot
from loadtest.traffic import Protocol, draw, holdout_users, offered
from serving.client import Client
from serving.ports import Ports

WARM_UP = 100
"""Requests before the clock runs: connections open, caches fill."""

Asked = TypeVar("Asked")


@dataclass(frozen=True)
class SingleRequests:
    """Requests to one ensemble over one protocol, warm-up left out.

    Attributes:
        latency: on the client's clock.
        chain: the ensemble and its steps, over the same requests, on the server's clock.
    """

    ensemble: str
    protocol: Protocol
    latency: Latency
    chain: ChainTimes

    @property
    def name(self) -> str:
        """The ensemble and the protocol."""
        return f"{self.ensemble} {self.protocol}"

    @property
    def between_ms(self) -> float:
        """Mean of what no step accounts for: client, network, and the way between the steps.

        On a busy machine it can fall below 0: a step counts until it has put its output away,
        and by then the next one may have begun.
        """
        return self.latency.mean_ms - sum(step.busy_ms for step in self.chain.steps)


def measure(answer: Callable[[Asked], object], requests: Sequence[Asked], count: int) -> Latency:
    """Time ``count`` calls of ``answer``, one after the other, going round ``requests``.

    Raises:
        LoadTestError: there is nothing to ask, or ``count`` is below 1.
        RequestError: a request got no answer.
    """
    if not requests or count < 1:
        raise LoadTestError(
            f"expected at least one request and a count of 1 or more; "
            f"got {len(requests)} and {count}"
        )
    latencies_ms = []
    for i in range(count):
        request = requests[i % len(requests)]
        start = time.perf_counter()
        answer(request)
        latencies_ms.append((time.perf_counter() - start) * 1000)
    return Latency.of(latencies_ms)


def one_at_a_time(
    ports: Ports,
    repository: Path,
    *,
    host: str = "127.0.0.1",
    count: int = 2000,
    protocols: Sequence[str] = tuple(Protocol),
    image: Path | None = None,
    seed: int = 42,
) -> list[SingleRequests]:
    """Recommendations for users of the release: by it alone, and with one picture if it takes any.

    Args:
        image: the picture, a file; by default the first sample of the release.

    Raises:
        LoadTestError: the release names no users or takes no pictures, the picture cannot be
            read, or ``count`` is below 1.
        RequestError: a request got no answer.
    """
    pictures = _pictures(repository, image)
    users = holdout_users(repository)
    ports_of = {Protocol.GRPC: ports.grpc, Protocol.HTTP: ports.http}
    found = []
    for ensemble, shown in pictures.items():
        steps = read_chain(host, ports.http, ensemble)
        requests = draw(users, max(count, 1), seed, shown)
        for protocol in map(Protocol, protocols):
            with Client(f"{host}:{ports_of[protocol]}", protocol.value) as client:
                measure(client.recommend, requests, WARM_UP)
                before = settled_snapshot(host, ports.http, ports.metrics)
                latency = measure(client.recommend, requests, count)
                after = settled_snapshot(host, ports.http, ports.metrics)
            chain = chain_times(before, after, steps, ensemble)
            found.append(SingleRequests(ensemble, protocol, latency, chain))
    return found


def _pictures(repository: Path, image: Path | None) -> dict[str, list[bytes]]:
    """At most one picture an ensemble: the times of the steps are to be those of this one."""
    pictures = {ensemble: samples[:1] for ensemble, samples in offered(repository).items()}
    if image is None:
        return pictures
    if RECOMMEND_VISUAL.name not in pictures:
        raise LoadTestError(
            f"the release in {repository} takes no pictures; leave {image} out, or build with "
            "data.images or visual.covers"
        )
    try:
        return {**pictures, RECOMMEND_VISUAL.name: [image.read_bytes()]}
    except OSError as e:
        raise LoadTestError(f"cannot read the picture {image}: {e.strerror}") from e
