"""One request at a time, through the client that applications use: the latency without load."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ensembles.errors import LoadTestError
from loadtest.percentiles import Latency
from loadtest.traffic import Protocol, draw, holdout_users
from serving.client import Client
from serving.messages import Request
from serving.ports import Ports

WARM_UP = 100
"""Requests before the clock runs: connections open, caches fill."""

Asked = TypeVar("Asked")


def measure(
    answer: Callable[[Asked], object],
    requests: Sequence[Asked],
    count: int,
    *,
    warm_up: int = WARM_UP,
) -> Latency:
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
    for i in range(warm_up):
        answer(requests[i % len(requests)])
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
    protocols: Sequence[Protocol] = tuple(Protocol),
    seed: int = 42,
) -> dict[Protocol, Latency]:
    """Latency of recommendations for users of the release, by protocol.

    Raises:
        LoadTestError: the release names no users, or ``count`` is below 1.
        RequestError: a request got no answer.
    """
    users = draw(holdout_users(repository), max(count, 1), seed)
    requests = [Request(user) for user in users]
    ports_of = {Protocol.GRPC: ports.grpc, Protocol.HTTP: ports.http}
    latencies = {}
    for protocol in protocols:
        with Client(f"{host}:{ports_of[protocol]}", protocol.value) as client:
            latencies[protocol] = measure(client.recommend, requests, count)
    return latencies
