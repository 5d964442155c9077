"""The ceiling: the steps without a server, ``python -m loadtest.peers.in_process``.

As many processes as a server has workers; what the clients of a process would ask at the same
time is one call. Requests are arrays already, so no server can reach this.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

from ensembles.recommend import RECOMMEND
from loadtest.peers.chain import Chain
from loadtest.peers.measure import Load, Point
from loadtest.peers.wire import Form, read_json, request_body
from loadtest.percentiles import Latency
from loadtest.traffic import requests_for

WORKERS = 2


def work(load: Load, clients: int) -> tuple[list[float], float, float]:
    """One process: milliseconds of each call, its processor time and its time, in seconds."""
    chain = Chain.open(Path(load.repository))
    requests = [
        read_json(json.loads(request_body(Form.JSON, request)[0]))
        for request in requests_for(Path(load.repository), RECOMMEND.name, load.seed)
    ]
    calls = [requests[i : i + clients] for i in range(0, len(requests) - clients + 1, clients)]
    taken: list[float] = []
    place, ready = 0, time.perf_counter() + load.warm_up_seconds
    while time.perf_counter() < ready:
        chain.answer(calls[place % len(calls)])
        place += 1
    busy, start = time.process_time(), time.perf_counter()
    now, end = start, start + load.seconds
    while now < end:
        before = now
        chain.answer(calls[place % len(calls)])
        place, now = place + 1, time.perf_counter()
        taken.append((now - before) * 1000)
    return taken, time.process_time() - busy, now - start


def run(load: Load) -> Point:
    """Carry out ``load``."""
    workers = min(WORKERS, load.clients)
    each = load.clients // workers
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        results = list(pool.map(work, [load] * workers, [each] * workers))
    latencies = [ms for taken, _, _ in results for ms in taken for _ in range(each)]
    seconds = max(seconds for _, _, seconds in results)
    return Point(seconds, Latency.of(latencies), 0, sum(busy for _, busy, _ in results), 0.0)


if __name__ == "__main__":
    print(json.dumps(asdict(run(Load.read(sys.stdin.read())))))
