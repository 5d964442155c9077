"""kill -9 at any moment while events are recorded: what was acknowledged is there, once.

It shows that processes may die, not that a disk may: what LMDB has written survives in the system.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from ensembles.errors import RequestError
from ensembles.fuse import FUSED
from ensembles.profiles import Knobs
from ensembles.record import RECORD, Recording
from serving.client import Client, Event
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.redis_server import free_port
from tests.triton.kept import Before
from tests.triton.tiny import make_release
from tests.unit.model_repository.recorded import Kind

KILLS = int(os.environ.get("MILLIRANK_KILLS", "0"))
WRITERS, USERS = 4, 6
BACK_SECONDS = 60.0
SERVER = "tritonserver"
ITEMS = [f"item-{n}" for n in range(1, 30)]
pytestmark = pytest.mark.skipif(not KILLS, reason="make test-killed")


class Writers:
    """Threads that record one event after the other, each until it is acknowledged."""

    def __init__(self, address: str, seed: int) -> None:
        self.acknowledged: list[Event] = []
        self.refused: Counter[str] = Counter()
        self._address = address
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(f"{seed}-{n}"),))
            for n in range(WRITERS)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, chance: random.Random) -> None:
        with Client(self._address, timeout=5) as client:
            while not self._over.is_set():
                at = int(time.time()) - chance.randrange(100)
                event = Event(f"k-{chance.randrange(USERS)}", chance.choice(ITEMS), "click", at)
                while not self._sent(client, event):
                    time.sleep(0.05)

    def _sent(self, client: Client, event: Event) -> bool:
        try:
            client.record(event)
        except RequestError as e:
            self.refused[type(e).__name__] += 1
            return False
        self.acknowledged.append(event)
        return True

    def wait_for(self, more: int) -> None:
        """Until so many more are acknowledged: the server is back."""
        wanted, deadline = len(self.acknowledged) + more, time.monotonic() + BACK_SECONDS
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, f"nothing is acknowledged any more: {self.refused}"
            time.sleep(0.02)

    def stop(self) -> None:
        """Once each has its last event acknowledged."""
        self._over.set()
        for thread in self._threads:
            thread.join(BACK_SECONDS)
            assert not thread.is_alive(), f"nothing is acknowledged any more: {self.refused}"


def process_of(server: TritonServer, model: str) -> psutil.Process:
    """The process of a model's instance, or the server's own."""
    parent = psutil.Process(server.pid)
    if model == SERVER:
        return parent
    children = parent.children(recursive=True)
    (found,) = [c for c in children if any(f"/{model}/" in word for word in c.cmdline())]
    return found


def test_killed(tmp_path: Path) -> None:
    knobs = Knobs(instances=1, record=Recording(per_minute=10**9))
    tiny = make_release(tmp_path, 3, knobs, fused=True)
    before = Before(Kind(f"lmdb://{tiny.state}", lambda user, value: None), ITEMS)
    ports = Ports(free_port(), free_port(), free_port())
    server = TritonServer(tiny.repository, ServerOptions(ports=ports, stop_seconds=0))
    chance, killed = random.Random(7), Counter[str]()
    server.start()
    writers = Writers(server.grpc, 0)
    try:
        for turn in range(1, KILLS + 1):
            writers.wait_for(WRITERS)
            time.sleep(chance.random() / 2)
            victim = chance.choice([SERVER, RECORD.name, RECORD.name, FUSED])
            killed[victim] += 1
            process_of(server, victim).kill()
            # A server whose process died is ended by its guard, and `millirank serve` starts it
            # again; so does this, on the same ports.
            assert server.wait(BACK_SECONDS) is not None
            server.stop()
            server.start()
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
