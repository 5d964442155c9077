"""Two servers behind HAProxy on one Redis: the same answers, and one of them is killed under load.

``make test-failover`` plays it with each way of retrying and prints what was lost.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from ensembles.step_code import load_step
from serving.client import Client, ProtocolName, Request
from serving.server import TritonServer
from tests.triton import oracle
from tests.triton.closed_loop import Asked, ClosedLoop
from tests.triton.haproxy import RETRIES, Proxy
from tests.triton.pair import Pair, pair_in

pytestmark = pytest.mark.skipif(
    not os.environ.get("MILLIRANK_FAILOVER"), reason="make test-failover"
)
CLIENTS = 4
"""Of each protocol."""
BEFORE, AFTER = 3.0, 5.0
"""Seconds of load on both sides of the kill."""
WAYS = {
    "as in docker/haproxy": RETRIES,
    "connections only": RETRIES.replace(" empty-response 404 503", ""),
    "no retries": "    retries 0\n",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_in(tmp_path_factory.mktemp("pair")) as running:
        yield running


def test_answers_are_the_same_by_both(pair: Pair, tmp_path: Path) -> None:
    folder = pair.tiny.repository / "features" / "3"
    tables = load_step(folder).Tables.load(folder / "tables")
    with Proxy(tmp_path, pair.ports) as proxy, ExitStack() as stack:
        addresses: list[tuple[str, ProtocolName]] = [
            *((f"127.0.0.1:{proxy.ports.grpc}", "grpc"), (f"127.0.0.1:{proxy.ports.http}", "http")),
            *((server.grpc, "grpc") for server in pair.servers),
        ]
        clients = [stack.enter_context(Client(a, p, timeout=30)) for a, p in addresses]
        before = [requests_of(server) for server in pair.servers]
        for user in ("user-0", "user-2", "everything", "nobody"):
            items, scores = oracle.recommend(pair.tiny, tables, user, 10)
            for client in clients:
                for _ in range(4):
                    answer = client.recommend(Request(user))
                    assert (list(answer.items), answer.degraded) == (items, False)
                    np.testing.assert_allclose(answer.scores, scores, atol=1e-5)
        # 16 came to each server directly; the proxy's 32 went to both.
        gained = [requests_of(s) - b for s, b in zip(pair.servers, before, strict=True)]
        assert sum(gained) == 64
        assert min(gained) > 16


def requests_of(server: TritonServer) -> int:
    import tritonclient.grpc as triton

    with triton.InferenceServerClient(server.grpc) as raw:
        found = raw.get_inference_statistics("recommend").model_stats
    return sum(int(model.inference_stats.success.count) for model in found)


@pytest.mark.parametrize("way", WAYS)
def test_killed_under_load(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    # Whatever fails at the proxy counts: the client's own retry would hide it.
    monkeypatch.setattr("serving.client.RETRY_SECONDS", float("inf"))
    victim, survivor = pair.servers
    if not victim.alive():  # killed by the way before
        victim.stop()
        victim.start()
    requests = [Request(user) for user in pair.tiny.users]
    with Proxy(tmp_path, pair.ports, WAYS[way]) as proxy:
        time.sleep(1.0)  # both are seen to be ready
        of: dict[ProtocolName, str] = {
            "grpc": f"127.0.0.1:{proxy.ports.grpc}",
            "http": f"127.0.0.1:{proxy.ports.http}",
        }
        addresses = [(address, p) for p, address in of.items() for _ in range(CLIENTS)]
        with ClosedLoop(addresses, requests) as load:
            time.sleep(BEFORE)
            os.kill(victim.pid, signal.SIGKILL)
            killed = time.monotonic()
            time.sleep(AFTER)
    assert survivor.ready()
    print(f"\n{way}")
    for protocol in of:
        asked = [a for a in load.asked if a.protocol == protocol]
        print(report(protocol, asked, killed))
        failed = [a for a in asked if a.error]
        assert not [a for a in failed if a.sent < killed - 1]
        assert [a for a in asked if a.sent > killed + AFTER / 2 and not a.error]
        if way != "no retries":
            # Only what was on its way into the server or out of it: at most one a client.
            assert len(failed) <= CLIENTS
            assert all(a.sent <= killed + 0.1 for a in failed)


def report(protocol: str, asked: Sequence[Asked], killed: float) -> str:
    """What became of the requests over one protocol."""
    failed = [a for a in asked if a.error]
    early = sum(a.over <= killed + 0.1 for a in failed)
    last = max(((a.over - killed) * 1000 for a in failed), default=0)
    waited = max((a.over - a.sent) * 1000 for a in asked if a.over >= killed and not a.error)
    in_flight = sum(a.sent <= killed <= a.over for a in asked)
    lines = [
        f"  {protocol}: sent {len(asked)}, answered {len(asked) - len(failed)}, failed "
        f"{len(failed)} ({early} in the first 100 ms, the last after {last:.0f} ms); "
        f"{in_flight} in flight at the kill; longest answer since {waited:.0f} ms"
    ]
    why = Counter(a.error.partition("\n")[0][:120] for a in failed)
    return "\n".join([*lines, *(f"    {count} x {error}" for error, count in why.items())])
