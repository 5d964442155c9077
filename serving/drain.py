"""Takes a server out of service so that no request is lost.

What tritonserver 2.51 does on SIGTERM by itself loses some: it closes new HTTP connections
without an answer while it goes on serving kept ones and gRPC, and cuts those off, with what is in
flight, when its exit timeout ends. So before SIGTERM

1. the server says that it is not ready, and goes on answering, until balancers have noticed;
2. its ensembles are unloaded, which lets every request in flight finish; a later one is answered
   with "no available versions" (HTTP 404, gRPC NOT_FOUND) and is safe to send elsewhere.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any, Protocol

from ensembles.errors import ServerError
from serving.options import TOKEN_HEADER

FINISH_SECONDS = 15.0
"""So long may requests in flight take."""
REFUSE_SECONDS = 1.0
"""So long is everything new answered with a refusal: whoever asks knows it before the end."""
_POLL_SECONDS = 0.02
_TIMEOUT_SECONDS = 5.0
_UNREADY = "draining"
_NO_MODEL = {"config": json.dumps({"name": _UNREADY, "backend": "none"}), "file:1/none": "eA=="}
"""A model that cannot load: a server that has one calls itself not ready, and serves the others."""


class Drained(Protocol):
    """What is asked of a ``TritonServer``."""

    token: str

    @property
    def http(self) -> str:
        """``host:port`` of the HTTP front end."""

    @property
    def loaded(self) -> tuple[str, ...]:
        """Models that were loaded by name."""

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the server's end."""


def drain(server: Drained, seconds: float, echo: Callable[[str], None]) -> None:
    """Say "not ready" for ``seconds``, then answer what is in flight and nothing that is new.

    An interrupt ends the waiting. What goes wrong is told and holds nothing up: the server is
    about to end.
    """
    try:
        try:
            if seconds > 0:
                _control(server, f"models/{_UNREADY}/load", {"parameters": _NO_MODEL}, expect=400)
                echo(f"draining: not ready any more, and answering for another {seconds:g} s")
                server.wait(seconds)
        except KeyboardInterrupt:
            echo("draining: asked again, so not waiting any longer")
        _finish(server)
    except (ServerError, OSError, ValueError, http.client.HTTPException) as e:
        echo(f"draining: the server does not follow, requests in flight may be lost: {e}")


def _finish(server: Drained) -> None:
    """Unload the models, which takes as long as their last requests.

    Raises:
        ServerError: that took longer than ``FINISH_SECONDS``, or the server refuses.
    """
    names = server.loaded if server.loaded != ("*",) else tuple(_serving(server))
    for name in names:
        _control(server, f"models/{name}/unload", {})
    deadline = time.monotonic() + FINISH_SECONDS
    while left := sorted(_serving(server) & set(names)):
        if time.monotonic() > deadline:
            raise ServerError(
                f"{', '.join(left)} had requests in flight after {FINISH_SECONDS:g} s; "
                "send smaller ones, or find out what is slow with 'millirank latency'"
            )
        time.sleep(_POLL_SECONDS)
    server.wait(REFUSE_SECONDS)


def _serving(server: Drained) -> set[str]:
    """Models that answer, or that finish what they have."""
    index = json.loads(_control(server, "index", {}))
    return {m["name"] for m in index if m.get("state") in {"READY", "UNLOADING", "LOADING"}}


def _control(server: Drained, path: str, body: dict[str, Any], expect: int = 200) -> bytes:
    """Post to the model-repository interface; what came back.

    Raises:
        ServerError: the status is another one than ``expect``.
        OSError, HTTPException: nobody answered.
    """
    connection = http.client.HTTPConnection(server.http, timeout=_TIMEOUT_SECONDS)
    try:
        headers = {TOKEN_HEADER: server.token}
        connection.request("POST", f"/v2/repository/{path}", json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    if answer.status != expect:
        raise ServerError(
            f"/v2/repository/{path}: expected HTTP status {expect}, got {answer.status} "
            f"({content[:200].decode(errors='replace')}); see the server's log"
        )
    return content
