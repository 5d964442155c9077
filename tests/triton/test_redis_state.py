"""A server on Redis answers as on LMDB; without Redis, from what requests carry."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ensembles.profiles import Knobs
from ensembles.step_code import load_step
from serving.async_client import AsyncClient
from serving.client import Client, ProtocolName, Recommendation, Request
from serving.server import ServerOptions, TritonServer
from serving.state_copy import copy_with_progress
from tests.redis_server import RedisServer
from tests.triton import oracle
from tests.triton.conftest import FREE
from tests.triton.tiny import Tiny, make_release

USERS = ["user-0", "user-1", "user-2", "user-3", "user-4", "everything", "nobody"]
CARRIED = Request(
    "user-2", k=3, candidates=["item-1", "item-2", "item-8"], recent=["item-8", "item-5"]
)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


def expected(tiny: Tiny, request: Request, *, degraded: bool) -> tuple[list[str], list[float]]:
    """By the rules; to a degraded server, everybody is somebody it has never seen."""
    folder = tiny.repository / "features" / "3"
    tables = load_step(folder).Tables.load(folder / "tables")
    user = "nobody" if degraded else request.user_id
    asked = (request.candidates or (), request.recent or ())
    return oracle.recommend(tiny, tables, user, request.k, *asked)


def assert_answer(
    answer: Recommendation, tiny: Tiny, request: Request, *, degraded: bool = False
) -> None:
    items, scores = expected(tiny, request, degraded=degraded)
    assert answer.degraded is degraded
    assert list(answer.items) == items
    np.testing.assert_allclose(answer.scores, scores, atol=1e-5)


def assert_all(client: Client, tiny: Tiny, *, degraded: bool = False) -> None:
    requests = [*(Request(user) for user in USERS), CARRIED]
    for request in requests:
        assert_answer(client.recommend(request), tiny, request, degraded=degraded)
    for answer, request in zip(client.recommend_many(requests), requests, strict=True):
        assert_answer(answer, tiny, request, degraded=degraded)


def wait_until_back(client: Client) -> int:
    """How many answers were degraded until then."""
    deadline, degraded = time.monotonic() + 30, 0
    while client.recommend(Request("user-1")).degraded:
        assert time.monotonic() < deadline, "the state did not come back in time"
        degraded += 1
        time.sleep(0.05)
    return degraded


def wait_for_count(server: TritonServer, rows: int) -> None:
    """Steps send what they counted a few times a second."""
    deadline = time.monotonic() + 10
    while counted(server) != rows:
        assert time.monotonic() < deadline, (counted(server), rows)
        time.sleep(0.05)


def counted(server: TritonServer) -> float:
    connection = http.client.HTTPConnection(server.metrics)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    values = [line for line in text.splitlines() if line.startswith("millirank_degraded_total")]
    return sum(float(line.split()[-1]) for line in values)


@pytest.mark.parametrize("fused", [True, False])
def test_redis_goes_and_comes_back(tmp_path: Path, redis: RedisServer, *, fused: bool) -> None:
    knobs = Knobs(instances=1, state_timeout_ms=1000)  # others use this machine, too
    tiny = make_release(tmp_path / "release", 3, knobs, fused=fused)
    log = tmp_path / "log"
    options = ServerOptions(ports=FREE, state=redis.url, log=log)
    redis.kill()  # it starts without
    asked = degraded = 2 * (len(USERS) + 1)
    with TritonServer(tiny.repository, options) as server, Client(server.grpc) as client:
        assert_all(client, tiny, degraded=True)
        wait_for_count(server, degraded)
        for _ in range(2):
            redis.start()
            copy_with_progress(f"lmdb://{tiny.state}", redis.url)
            degraded += wait_until_back(client)
            assert_all(client, tiny)
            redis.kill()
            assert_all(client, tiny, degraded=True)
            degraded += asked
            wait_for_count(server, degraded)
    told = log.read_text()
    assert told.count("cannot be read (") == 3
    assert told.count("is read again") == 2
    assert "user-1" not in told


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_both_protocols_say_so(
    server: TritonServer, protocol: ProtocolName, tmp_path: Path
) -> None:
    address = server.grpc if protocol == "grpc" else server.http
    async with AsyncClient(address, protocol) as client:
        assert (await client.recommend(Request("user-1"))).degraded is False
