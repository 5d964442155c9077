"""Play a scenario on a server of our own, and again when the server died under it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ensembles.errors import LoadTestError
from loadtest.record import RunRecord
from loadtest.run import play
from loadtest.scenario import Scenario
from serving.server import TritonServer


def play_supervised(
    server: TritonServer,
    repository: Path,
    name: str,
    scenario: Scenario,
    seed: int,
    log: Callable[[str], None],
) -> RunRecord:
    """As ``loadtest.run.play``. One crash is said, and the server started again.

    tritonserver 2.51 now and then crashes when many gRPC requests end at once; a search of many
    runs meets that, and should not end with it.

    Raises:
        LoadTestError: it cannot be played, or the server died twice.
        ServerError: the server does not start again.
    """
    try:
        return play(name, scenario, server.ports, repository, seed=seed, server_pid=server.pid)
    except LoadTestError:
        if server.alive():
            raise
        log(f"the server died; it is started again, and the load repeated:\n{server.errors()}")
        server.stop()
        server.start()
        return play(name, scenario, server.ports, repository, seed=seed, server_pid=server.pid)
