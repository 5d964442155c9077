"""Clients that record while something is killed."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

from ensembles.errors import RequestError
from serving.client import Client, Event

WRITERS, USERS = 4, 6
BACK_SECONDS = 60.0
ITEMS = [f"item-{n}" for n in range(1, 30)]


class Writers:
    """Threads that record one event after the other, each until it is acknowledged."""

    def __init__(self, address: str, seed: int) -> None:
        self.acknowledged: list[Event] = []
        self.refused: Counter[str] = Counter()
        self.broken: list[Exception] = []
        self._address = address
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(f"{seed}-{n}"),))
            for n in range(WRITERS)
        ]
        for thread in self._threads:
            thread.start()

    def _write(self, chance: random.Random) -> None:
        try:
            self._write_on(chance)
        except Exception as e:
            self.broken.append(e)
            raise

    def _write_on(self, chance: random.Random) -> None:
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
        assert not self.broken, "a client raises what no caller expects"
