"""Compose's Locust, master and worker, as processes on this machine, load a real server."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.unit.deployment.files import ROOT, services

PROBE = "round trip only"
PATIENCE_SECONDS = 120


def words(service, **changes):
    """The service's command line, for this machine and with other values of some options."""
    changed = {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    given = [w.replace("/opt/millirank", str(ROOT)) for w in services()[service]["command"]]
    kept = [w for w in given if w.split("=")[0] not in changed]
    more = [f"{name}={value}" for name, value in changed.items()]
    return [sys.executable, "-m", "locust", *kept, *more]


def free_ports(count):
    with ExitStack() as held:
        holders = [held.enter_context(socket.socket()) for _ in range(count)]
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]


def asked(page, path, found, **form):
    """The page's answer, once there is one in which ``found`` finds what is waited for.

    What stands in ``form`` is posted.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            data = urlencode(form).encode() if form else None
            with urlopen(f"http://127.0.0.1:{page}{path}", data, timeout=10) as response:
                answer = json.load(response)
            if found(answer):
                return answer
        except OSError as e:
            answer = e  # it is only starting
        assert time.monotonic() < deadline, (path, answer)
        time.sleep(0.1)


def test_a_master_and_a_worker_load_a_server(server, tiny, tmp_path):
    about = tmp_path / "release" / "recommend" / "3"
    about.mkdir(parents=True)
    (about / "holdout.json").write_text(json.dumps({"users": list(tiny.users)}))
    environment = {
        **os.environ,
        **services()["locust-worker"]["environment"],
        "MILLIRANK_REPOSITORY": str(tmp_path / "release"),
        "PYTHONPATH": str(ROOT),
    }
    page, port = free_ports(2)
    here = "127.0.0.1"
    master = words(
        "locust-master",
        web_port=page,
        web_host=here,
        master_bind_port=port,
        master_bind_host=here,
        host=f"grpc://{server.grpc}",
    )
    worker = words("locust-worker", master_port=port, master_host=here)
    with ExitStack() as running, (tmp_path / "log").open("w") as log:
        processes = []
        for command in (master, worker):
            started = subprocess.Popen(
                command, env=environment, cwd=tmp_path, stdout=log, stderr=log
            )
            running.callback(started.wait)
            running.callback(started.kill)
            processes.append(started)
        asked(page, "/stats/requests", lambda stats: len(stats["workers"]) == 1)
        asked(page, "/swarm", lambda done: done["success"], user_count=4, spawn_rate=4)
        seen = asked(page, "/stats/requests", lambda stats: rows(stats).get(PROBE))
        asked(page, "/stop", lambda done: done["success"], stop="now")
        processes[0].terminate()
        assert [process.wait(PATIENCE_SECONDS) for process in processes] == [0, 0]
    found = rows(seen)
    assert set(found) == {"recommend", PROBE, "Aggregated"}
    assert found["recommend"]["num_requests"] >= 10  # a probe follows every tenth
    assert not found["Aggregated"]["num_failures"], (tmp_path / "log").read_text()


def rows(stats):
    """Rows of Locust's table by name."""
    return {row["name"]: row for row in stats["stats"]}
