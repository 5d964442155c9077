"""Clients that ask one request after the other, and note what became of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ensembles.errors import RequestError
from serving.client import Client, ProtocolName, Request
from tests.triton.client_threads import ClientThreads


@dataclass(frozen=True)
class Asked:
    """One request: when it was sent and when it was over, and why it failed, if it did."""

    protocol: ProtocolName
    sent: float
    over: float
    error: str


class ClosedLoop(ClientThreads):
    """``with ClosedLoop(addresses, requests) as load``; one thread for each address."""

    def __init__(
        self, addresses: Sequence[tuple[str, ProtocolName]], requests: Sequence[Request]
    ) -> None:
        self.asked: list[Asked] = []
        self._requests = requests
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=a) for a in addresses]

    def _ask(self, address: str, protocol: ProtocolName) -> None:
        with Client(address, protocol, timeout=10) as client:
            turn = 0
            while not self._over.is_set():
                error, sent = "", time.monotonic()
                try:
                    client.recommend(self._requests[turn % len(self._requests)])
                except RequestError as e:
                    error = f"{type(e).__name__}: {e}"
                self.asked.append(Asked(protocol, sent, time.monotonic(), error))
                turn += 1
