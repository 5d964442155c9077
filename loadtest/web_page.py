"""``millirank loadtest --web``: a server and Locust's web page, until Ctrl-C."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from ensembles.errors import LoadTestError, MissingExtra
from ensembles.recommend import RECOMMEND
from loadtest.load_process import ROOT, end_process
from loadtest.plan import Plan
from loadtest.traffic import Protocol, holdout_users
from serving.temporary import temporary_server


def serve_page(repository: Path, *, workers: int, port: int, seed: int) -> None:
    """Serve a repository, and Locust's page with ``GrpcUser`` and ``BinaryHttpUser``.

    Returns after Ctrl-C, when the page, its workers and the server have ended.

    Args:
        workers: processes that make the load.
        port: of the page; 0 takes a free one. It listens on this machine only.

    Raises:
        LoadTestError: the release names no users, or the page ended by itself.
        MissingExtra: Locust is not installed.
    """
    if importlib.util.find_spec("locust") is None:
        raise MissingExtra("locust", "loadtest")
    holdout_users(repository)
    with temporary_server(repository) as server:
        # Users, seconds and warm-up are up to the page.
        plans = [
            Plan.against(server.ports, repository, RECOMMEND.name, protocol, 1, 1.0, seed)
            for protocol in Protocol
        ]
        _page(json.dumps([asdict(plan) for plan in plans]), workers, port)


def _page(plans: str, workers: int, port: int) -> None:
    # A session of its own: Ctrl-C in the terminal is for this process, which ends the page.
    with subprocess.Popen(
        [sys.executable, "-m", "loadtest.web", str(workers), str(port)],
        stdin=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(plans)
            process.stdin.close()
            status = process.wait()
        finally:
            end_process(process)
    raise LoadTestError(f"Locust's page ended with status {status}; what it says stands above")
