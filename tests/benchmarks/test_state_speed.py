"""What a user state in Redis costs against one in LMDB, on the same machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

import pytest

from ensembles.step_code import load_step
from loadtest.traffic import draw, holdout_users
from serving.client import Client
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from serving.state_copy import copy_with_progress
from tests.redis_server import RedisServer
from tests.triton.closed_loop import ClosedLoop
from tests.triton.tiny import SOURCE

REPOSITORY = os.environ.get("MILLIRANK_BENCH_STATE", "")
ROUNDS, SECONDS, CLIENTS = 5, 3.0, 8

pytestmark = pytest.mark.skipif(not REPOSITORY, reason="make bench-state")


def lmdb_url() -> str:
    return f"lmdb://{Path(REPOSITORY).resolve().parent}/state"


def test_processor_time_of_a_read(tmp_path: Path) -> None:
    code = load_step(SOURCE / "features" / "1")
    users = [u.encode() for u in holdout_users(Path(REPOSITORY))]
    with RedisServer(tmp_path) as redis:
        count, seconds = copy_with_progress(lmdb_url(), redis.url)
        print(f"\n{count:,} users copied in {seconds:.1f} s")
        states = {
            kind: code.open_state(url, Path("/"), "1000", None)
            for kind, url in (("LMDB", lmdb_url()), ("Redis", redis.url))
        }
        for rows in (1, 32):
            for kind, state in states.items():
                batches = [users[n : n + rows] for n in range(0, len(users) - rows, rows)][:500]
                wall, processor = best_of(lambda b=batches, s=state: [s.read(x) for x in b])
                print(
                    f"{kind}, {rows} users: {wall / len(batches) * 1e6:.0f} us, "
                    f"{processor / len(batches) * 1e6:.0f} us of the processor"
                )
        for state in states.values():
            state.close()


def best_of(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds and processor seconds of the fastest of ten turns."""
    turns = []
    for _ in range(10):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        turns.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(w for w, _ in turns), min(p for _, p in turns)


def test_requests(tmp_path: Path) -> None:
    requests = draw(holdout_users(Path(REPOSITORY)), 2000, 1)
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(tmp_path))
        copy_with_progress(lmdb_url(), redis.url)
        servers = [
            stack.enter_context(
                TritonServer(Path(REPOSITORY), ServerOptions(ports=Ports(0, 0, 0), state=url))
            )
            for url in (lmdb_url(), redis.url)
        ]
        clients = [stack.enter_context(Client(server.grpc)) for server in servers]
        ms: tuple[list[float], list[float]] = ([], [])
        degraded = 0
        for turn, request in enumerate(requests):
            for which in (0, 1) if turn % 2 else (1, 0):
                start = time.perf_counter()
                answer = clients[which].recommend(request)
                if turn >= 100:  # the first ones warm up
                    ms[which].append((time.perf_counter() - start) * 1000)
                degraded += answer.degraded
        print_pair("one request at a time, ms", *ms)
        print(f"{degraded} of {len(requests)} answers from Redis were degraded")
        rates: tuple[list[float], list[float]] = ([], [])
        for turn in range(ROUNDS):
            for which in (0, 1) if turn % 2 else (1, 0):
                with ClosedLoop([(servers[which].grpc, "grpc")] * CLIENTS, requests) as load:
                    time.sleep(SECONDS)
                assert not [a for a in load.asked if a.error]
                rates[which].append(len(load.asked) / SECONDS)
        print_pair(f"{CLIENTS} clients, requests/s", *rates)


def print_pair(what: str, lmdb: list[float], redis: list[float]) -> None:
    low, _, high = quantiles([r / m for m, r in zip(lmdb, redis, strict=True)], n=4)
    print(
        f"\n{what}: LMDB {median(lmdb):.2f}, Redis {median(redis):.2f}, ratio "
        f"{median(redis) / median(lmdb):.3f} (quartiles of pairs {low:.2f} to {high:.2f})"
    )
