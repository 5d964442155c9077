"""Requests at a steady rate, whatever becomes of those before; no client tries a second time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ensembles.errors import RequestError
from serving.client import Client, Event, ProtocolName, Recommendation, Recorded, Request
from tests.triton.client_threads import ClientThreads

Asked = Request | Event


class Sent(NamedTuple):
    """One request: when it was due, how long its answer took from then on, and what came."""

    asked: Asked
    due: float
    ms: float
    answer: Recommendation | Recorded | None
    error: str


class OpenLoad(ClientThreads):
    """``rate`` requests/s in turns over several connections until the end of the block.

    A connection that waits for its answer is late with its next request, which counts: latencies
    are from the moment that a request was due.

    Args:
        draw: the request of a number, from 0.
    """

    def __init__(
        self,
        addresses: Sequence[tuple[str, ProtocolName]],
        draw: Callable[[int], Asked],
        rate: float,
    ) -> None:
        self.sent: list[Sent] = []
        self._draw, self._rate = draw, rate
        self._over = threading.Event()
        self._begin = time.monotonic() + 0.5
        count = len(addresses)
        self._threads = [
            threading.Thread(target=self._run, args=(*address, n, count))
            for n, address in enumerate(addresses)
        ]

    @property
    def errors(self) -> list[str]:
        """Of the requests that failed."""
        return [sent.error for sent in self.sent if sent.error]

    def _run(self, address: str, protocol: ProtocolName, number: int, step: int) -> None:
        with Client(address, protocol, timeout=10) as client:
            while True:
                asked, due = self._draw(number), self._begin + number / self._rate
                if self._over.wait(max(due - time.monotonic(), 0)):
                    return
                answer, error = None, ""
                try:
                    answer = _send(client, asked)
                except RequestError as e:
                    error = f"{type(e).__name__}: {e}"
                ms = (time.monotonic() - due) * 1000
                self.sent.append(Sent(asked, due, ms, answer, error))
                number += step


def _send(client: Client, asked: Asked) -> Recommendation | Recorded:
    return client.record(asked) if isinstance(asked, Event) else client.recommend(asked)
