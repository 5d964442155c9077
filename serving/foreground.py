"""Serves a repository in the foreground, and starts a crashed server again."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from ensembles.errors import ServerError
from ensembles.profiles import GPU
from serving.drain import drain
from serving.engine.linked import with_engines
from serving.engine.ready import ready_engines
from serving.manifest import check
from serving.repository import current_release
from serving.server import ServerOptions, TritonServer

RESTARTS = 5
"""So many restarts are tried ..."""
RESTART_WINDOW_SECONDS = 300.0
"""... within this time; a server that crashes more often has a cause that a person must find."""

Echo = Callable[[str], None]


def serve_foreground(
    repository: Path,
    options: ServerOptions,
    echo: Echo,
    *,
    drain_seconds: float = 0.0,
    engines: Path | None = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM, then ``drain``.

    Args:
        drain_seconds: how long it goes on answering then, and says that it is not ready.
        engines: where the gpu profile keeps the engines that it builds; None is the repository.

    Raises:
        ReleaseError: a file of the current release is missing or altered.
        ServerError: the server does not start, or crashes again and again; or its profile is
            gpu and there is no engine for this machine, and none can be built.
    """
    # From the first moment on: a SIGTERM without a handler does nothing to PID 1 of a container.
    with _sigterm_as_interrupt(), ExitStack() as served:
        try:
            release = current_release(repository)
            check(repository, release)
            echo(f"release {release} of {repository}: every file is as published")
            if options.config_name == GPU.name and engines:
                linked = with_engines(repository, release, engines, echo)
                repository = served.enter_context(linked)
            elif options.config_name == GPU.name:
                ready_engines(repository, release, echo)
            supervise(repository, options, echo, drain_seconds)
        except KeyboardInterrupt:
            echo("stopped")


def supervise(
    repository: Path, options: ServerOptions, echo: Echo, drain_seconds: float = 0.0
) -> None:
    """Run the server, and start it again on the same ports, with the same token, when it dies.

    Returns never; an exception in the calling thread stops the server, an interrupt drains it.

    Raises:
        ServerError: it does not start, or died ``RESTARTS`` + 1 times in the window.
    """
    deaths: deque[float] = deque(maxlen=RESTARTS + 1)
    while True:
        with TritonServer(repository, options) as server:
            try:
                options = replace(options, ports=server.ports, token=server.token)
                echo(f"ready: HTTP {server.http}, gRPC {server.grpc}, metrics {server.metrics}")
                status = server.wait()
            except KeyboardInterrupt:
                drain(server, drain_seconds, echo)
                raise
            words = server.errors()
        deaths.append(time.monotonic())
        if len(deaths) > RESTARTS and deaths[-1] - deaths[0] < RESTART_WINDOW_SECONDS:
            raise ServerError(
                f"tritonserver died {len(deaths)} times within {RESTART_WINDOW_SECONDS:g} s, "
                f"at last with status {status}:\n{words}"
            )
        echo(f"tritonserver died with status {status}; starting it again. Its last words:\n{words}")


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
