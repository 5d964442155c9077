"""Clients that ask a server until it refuses them: was any request lost when it ended?

``python -m tests.triton.drain_load HTTP GRPC`` prints a line when every client has an answer, and
at the end how often each kind of client saw which outcome.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from serving import grpc_wire, http_wire
from serving.client import Request
from serving.messages import UNLOADED, encode

Ask = Callable[[], str]
ANSWERED = "answered"
REFUSED = {"refused", "unloaded"}
"""Refusals before anything ran: no connection, or an answer that says so."""
CLIENTS_OF_A_KIND = 3
_TENSORS = encode([Request("user-2")] * 8)


class DrainLoad:
    """Clients of three kinds; each stops at its first refusal, as a balancer does.

    Attributes:
        outcomes: number of requests by kind of client and outcome; ``lost: ...`` is any other end.
    """

    def __init__(self, http_address: str, grpc_address: str) -> None:
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._open = ExitStack()
        kinds: dict[str, Callable[[], Ask]] = {
            "kept HTTP": lambda: self._http(http_address, kept=True),
            "new HTTP": lambda: self._http(http_address, kept=False),
            "gRPC": lambda: self._grpc(grpc_address),
        }
        self.kinds = tuple(kinds)
        self._threads = [
            threading.Thread(target=self._run, args=(kind, make()))
            for kind, make in kinds.items()
            for _ in range(CLIENTS_OF_A_KIND)
        ]
        for thread in self._threads:
            thread.start()

    def answered(self) -> dict[str, int]:
        """Answers so far by kind of client."""
        return {kind: self.outcomes[kind, ANSWERED] for kind in self.kinds}

    def refused(self) -> dict[str, int]:
        """Refusals so far by kind of client."""
        return {kind: sum(self.outcomes[kind, w] for w in REFUSED) for kind in self.kinds}

    def lost(self) -> dict[str, int]:
        """What was neither, and how often."""
        known = {ANSWERED, *REFUSED}
        return {f"{k}, {o}": n for (k, o), n in self.outcomes.items() if o not in known}

    def join(self) -> None:
        """Wait until every client was refused, or lost a request."""
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()
        self._open.close()

    def _run(self, kind: str, ask: Ask) -> None:
        outcome = ANSWERED
        while outcome == ANSWERED:
            outcome = ask()
            self.outcomes[kind, outcome] += 1

    def _http(self, address: str, *, kept: bool) -> Ask:
        connection = http.client.HTTPConnection(address, timeout=30)
        self._open.callback(connection.close)
        body, headers = http_wire.body(_TENSORS)

        def ask() -> str:
            try:
                connection.request("POST", http_wire.path("recommend"), body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except ConnectionRefusedError:
                return "refused"
            except (OSError, http.client.HTTPException) as e:
                return f"lost: {e!r}"
            if not kept:
                connection.close()
            if answer.status == 200:
                return ANSWERED
            return "unloaded" if UNLOADED in str(content) else f"lost: {content!r}"

        return ask

    def _grpc(self, address: str) -> Ask:
        channel = self._open.enter_context(grpc.insecure_channel(address))
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        message = grpc_wire.message(service_pb2, "recommend", _TENSORS)

        def ask() -> str:
            try:
                stub.ModelInfer(message, timeout=30)
            except grpc.RpcError as e:
                if "refused" in e.details():
                    return "refused"
                return "unloaded" if UNLOADED in e.details() else f"lost: {e.code()} {e.details()}"
            return ANSWERED

        return ask


def main(http_address: str, grpc_address: str) -> None:
    """Load the server until it ends, and print what happened."""
    load = DrainLoad(http_address, grpc_address)
    while 0 in load.answered().values() and not load.lost():
        time.sleep(0.05)
    print("loading", flush=True)
    load.join()
    print(json.dumps({k: getattr(load, k)() for k in ("answered", "refused", "lost")}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
