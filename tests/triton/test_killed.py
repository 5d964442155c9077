"""kill -9 at any moment while events are recorded: what was acknowledged is there, once.

It shows that processes may die, not that a disk may: what LMDB or Redis has written survives in the
system.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ensembles.fuse import FUSED
from ensembles.profiles import Knobs
from ensembles.record import RECORD, Recording
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.redis_server import RedisServer, free_port
from tests.triton.kept import Before
from tests.triton.tiny import Tiny, make_release
from tests.triton.writers import BACK_SECONDS, ITEMS, WRITERS, Writers
from tests.unit.model_repository.recorded import Kind

KILLS = int(os.environ.get("MILLIRANK_KILLS", "0"))
SERVER, REDIS = "tritonserver", "redis-server"
RECORDING = Recording(per_minute=10**9)
pytestmark = pytest.mark.skipif(not KILLS, reason="make test-killed")


def process_of(server: TritonServer, model: str) -> psutil.Process:
    """The process of a model's instance, or the server's own."""
    parent = psutil.Process(server.pid)
    if model == SERVER:
        return parent
    children = parent.children(recursive=True)
    (found,) = [c for c in children if any(f"/{model}/" in word for word in c.cmdline())]
    return found


@contextmanager
def empty_store(kind: str, tiny: Tiny, folder: Path) -> Iterator[tuple[str, RedisServer | None]]:
    """A URL; of LMDB, or of a Redis that syncs every write before it answers."""
    if kind == "lmdb":
        yield f"lmdb://{tiny.state}", None
        return
    with RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always") as redis:
        yield redis.url, redis


@pytest.mark.parametrize("kind", ["lmdb", "redis"])
def test_killed(tmp_path: Path, kind: str) -> None:
    tiny = make_release(tmp_path, 3, Knobs(instances=1, record=RECORDING), fused=True)
    with empty_store(kind, tiny, tmp_path) as (url, redis):
        kill_often(tiny, url, redis)


def kill_often(tiny: Tiny, url: str, redis: RedisServer | None) -> None:
    before = Before(Kind(url, lambda user, value: None), ITEMS)
    ports = Ports(free_port(), free_port(), free_port())
    options = ServerOptions(ports=ports, stop_seconds=0, state=url)
    server = TritonServer(tiny.repository, options)
    chance, killed = random.Random(7), Counter[str]()
    victims = [SERVER, RECORD.name, *([REDIS, REDIS] if redis else [RECORD.name, FUSED])]
    server.start()
    writers = Writers(server.grpc, 0)
    try:
        for turn in range(1, KILLS + 1):
            writers.wait_for(WRITERS)
            time.sleep(chance.random() / 2)
            victim = chance.choice(victims)
            killed[victim] += 1
            if redis and victim == REDIS:
                redis.kill()
                time.sleep(chance.random() / 2)
                redis.start()
            else:
                kill_and_start(server, victim)
            writers.wait_for(WRITERS)
            writers.stop()
            before.assert_kept(e.event_id for e in writers.acknowledged)
            known = writers.acknowledged
            writers = Writers(server.grpc, turn)
            writers.acknowledged.extend(known)
    finally:
        writers.stop()
        server.stop()
    before.assert_kept(e.event_id for e in writers.acknowledged)
    print(f"\nkilled: {dict(killed)}; {len(writers.acknowledged):,} events, each once")


def kill_and_start(server: TritonServer, victim: str) -> None:
    """A server whose process died is ended by its guard, and `millirank serve` starts it again.

    So does this, on the same ports.
    """
    process_of(server, victim).kill()
    assert server.wait(BACK_SECONDS) is not None
    server.stop()
    server.start()
