"""Requests at a steady rate, whatever becomes of those before; no client tries a second time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from ensembles.errors import RequestError
from serving.client import Client, ProtocolName, Request
from tests.triton.client_threads import ClientThreads


class Sent(NamedTuple):
    """One request: when it was due, how long its answer took from then on, and its error."""

    due: float
    ms: float
    error: str


class OpenLoad(ClientThreads):
    """``rate`` requests/s in turns over several connections until the end of the block.

    A connection that waits for its answer is late with its next request, which counts: latencies
    are from the moment that a request was due.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[str, ProtocolName]],
        requests: Sequence[Request],
        rate: float,
    ) -> None:
        self.sent: list[Sent] = []
        self._requests, self._rate = requests, rate
        self._over = threading.Event()
        self._begin = time.monotonic() + 0.5
        count = len(addresses)
        self._threads = [
            threading.Thread(target=self._run, args=(*address, n, count))
            for n, address in enumerate(addresses)
        ]

    def _run(self, address: str, protocol: ProtocolName, number: int, step: int) -> None:
        with Client(address, protocol, timeout=10) as client:
            while True:
                due = self._begin + number / self._rate
                if self._over.wait(max(due - time.monotonic(), 0)):
                    return
                error = ""
                try:
                    client.recommend(self._requests[number % len(self._requests)])
                except RequestError as e:
                    error = f"{type(e).__name__}: {e}"
                self.sent.append(Sent(due, (time.monotonic() - due) * 1000, error))
                number += step
