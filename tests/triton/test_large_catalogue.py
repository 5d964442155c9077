"""A catalogue whose item table has outgrown the graph: built, served, measured.

``make bench-catalogue`` runs it with 1,000,000 items and prints what it finds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from builders.publish.served_check import K, compare
from ensembles.fuse import FUSED
from serving.client import Client, Request
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton.catalogue import USERS, WIDTH, Catalogue, make_catalogue

ITEMS = int(os.environ.get("MILLIRANK_CATALOGUE_ITEMS", "20000"))
TABLE_MB = (ITEMS + 1) * WIDTH * 4 / 1e6
ALLOWED_MB = min(256.0, 0.9 * TABLE_MB)
ASKED, ROUNDS = 60, 5


def options(made: Catalogue, log: Path) -> ServerOptions:
    return ServerOptions(ports=Ports(0, 0, 0), state=f"lmdb://{made.state}", log=log)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    started = time.perf_counter()
    found = make_catalogue(tmp_path_factory.mktemp("large"), ITEMS, ALLOWED_MB)
    print(f"\n{ITEMS:,} items: built in {time.perf_counter() - started:.1f} s")
    for file in sorted(found.repository.rglob("*"), key=lambda f: -f.stat().st_size)[:9]:
        print(f"  {file.stat().st_size / 1e6:8.1f} MB  {file.relative_to(found.repository)}")
    return found


@pytest.fixture(scope="module")
def server(made: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    log = tmp_path_factory.mktemp("log") / "log"
    started = time.perf_counter()
    with TritonServer(made.repository, options(made, log)) as running:
        print(f"server ready after {time.perf_counter() - started:.1f} s")
        yield running


@pytest.fixture(scope="module")
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.grpc) as found:
        yield found


def test_the_graph_holds_no_item_table(made: Catalogue) -> None:
    table = made.repository / "features" / "1" / "tables" / "item_vectors.npy"
    assert table.stat().st_size > TABLE_MB * 1e6
    assert (made.repository / "ranker" / "1" / "model.onnx").stat().st_size < 2e6


def test_answers_are_those_of_the_offline_pipeline(made: Catalogue, client: Client) -> None:
    users = np.arange(ASKED)
    answers = [client.recommend(Request(made.dataset.user_ids[u], k=K)) for u in users]
    number = {item: n for n, item in enumerate(made.dataset.item_ids)}
    items = np.array([[number[i] for i in a.items] for a in answers])
    scores = np.array([a.scores for a in answers], np.float32)
    largest = compare(made.offline.recommend(users, K), items, scores, 1e-4, users)
    print(f"{ASKED} users answered as offline, largest difference of a score {largest:.1e}")


def test_candidates_of_ones_own(made: Catalogue, client: Client) -> None:
    own = [made.dataset.item_ids[i] for i in range(1, ITEMS, ITEMS // 40)]
    answer = client.recommend(Request("nobody", k=100, candidates=[*own, "no such item"]))
    assert set(answer.items) == set(own)


def test_latency_and_memory(made: Catalogue, client: Client, server: TritonServer) -> None:
    spent = latencies([client], made, USERS * 2)
    print(f"a request: p50 {np.median(spent):.2f} ms, p99 {np.percentile(spent, 99):.2f} ms")
    own: dict[str, float] = {}
    total = 0.0
    for process in (server_process := psutil.Process(server.pid), *server_process.children(True)):
        memory, name = process.memory_full_info(), step_of(process)
        own[name] = max(own.get(name, 0.0), memory.uss / 1e6)
        total += memory.pss / 1e6
        print(
            f"  {name:12} resident {memory.rss / 1e6:6.0f} MB, in proportion "
            f"{memory.pss / 1e6:6.0f} MB, its own {memory.uss / 1e6:6.0f} MB"
        )
    print(f"  in all {total:.0f} MB in proportion, each shared page counted once")
    # Tables are shared; what an instance has for itself are ids, their keys, and the graph.
    assert own[FUSED] < 300 + 90 * ITEMS / 1e6


@pytest.mark.skipif(ITEMS < 1_000_000, reason="a measurement: make bench-catalogue")
def test_both_forms_of_one_release(tmp_path: Path) -> None:
    """The same release with its table in the graph and looked up, asked in turn."""
    forms = {
        "in the graph": make_catalogue(tmp_path / "graph", 20_000, 256.0),
        "looked up": make_catalogue(tmp_path / "lookup", 20_000, 1.0),
    }
    first, second = forms.values()
    with (
        TritonServer(first.repository, options(first, tmp_path / "log 1")) as one,
        TritonServer(second.repository, options(second, tmp_path / "log 2")) as other,
        Client(one.grpc) as a,
        Client(other.grpc) as b,
    ):
        for user in first.dataset.user_ids[:ASKED]:
            x, y = (c.recommend(Request(user, k=K)) for c in (a, b))
            np.testing.assert_allclose(x.scores, y.scores, atol=1e-5)
            assert x.items == y.items
        spent = latencies([a, b], first, USERS * ROUNDS)
    graph, lookup = np.median(spent, axis=1)
    print(
        f"\n20,000 items, p50 of a request: {graph:.3f} ms in the graph, {lookup:.3f} ms looked "
        f"up, ratio {lookup / graph:.3f}"
    )


def latencies(clients: list[Client], made: Catalogue, requests: int) -> list[list[float]]:
    """Milliseconds of each request, by client; the clients take turns."""
    spent: list[list[float]] = [[] for _ in clients]
    for number in range(requests):
        request = Request(made.dataset.user_ids[number % USERS], k=K)
        for place, client in enumerate(clients):
            started = time.perf_counter()
            client.recommend(request)
            spent[place].append((time.perf_counter() - started) * 1e3)
    return spent


def step_of(process: psutil.Process) -> str:
    """The model that a backend process runs; ``tritonserver`` for the server itself."""
    return FUSED if f"/{FUSED}/" in " ".join(process.cmdline()) else "tritonserver"
