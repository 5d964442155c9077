"""Starting, failing, crashing, stopping: the real server, and nothing left of it."""

from __future__ import annotations

import http.client
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ensembles.errors import ReleaseError, ServerError, ServerUnavailable
from serving.ask import ask
from serving.client import Client, Request
from serving.foreground import serve_foreground, supervise
from serving.manifest import write_manifest
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton.tiny import Tiny

OPTIONS = ServerOptions(ports=Ports(0, 0, 0))
ONE_STEP = replace(OPTIONS, models=("policy",))
"""Starts faster, where it does not matter what is served."""


def regions(owner: int) -> list[str]:
    """Shared memory of servers that the process ``owner`` started."""
    return [region.name for region in Path("/dev/shm").glob(f"millirank_{owner}_*")]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_stop_leaves_nothing(copy_of_tiny: Tiny) -> None:
    mine = set(regions(os.getpid()))
    with TritonServer(copy_of_tiny.repository, OPTIONS) as server:
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(family) > 3
        assert set(regions(os.getpid())) > mine
        staging = server.log.parent
    assert not any(p.is_running() for p in family)
    assert set(regions(os.getpid())) == mine
    assert not staging.exists()
    assert not server.alive()
    assert not server.ready()


def test_killed_owner_takes_everything_along(copy_of_tiny: Tiny) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from serving.server import *\n"
        "from serving.ports import Ports\n"
        "server = TritonServer(Path(sys.argv[1]), ServerOptions(ports=Ports(0, 0, 0)))\n"
        "server.start()\n"
        "print(server.log.parent, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(copy_of_tiny.repository)],
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout
        staging = Path(owner.stdout.readline().strip())
        family = psutil.Process(owner.pid).children(recursive=True)
        assert len(family) > 4
        assert regions(owner.pid)
        owner.kill()
    wait_for(lambda: not any(p.is_running() for p in family))
    wait_for(lambda: not regions(owner.pid) and not staging.exists())


def test_killed_guard_takes_the_server_along(copy_of_tiny: Tiny) -> None:
    with TritonServer(copy_of_tiny.repository, ONE_STEP) as server:
        process = psutil.Process(server.pid)
        process.parent().kill()
        wait_for(lambda: not server.alive())
    wait_for(lambda: not process.is_running())


class Serving:
    """``supervise`` in a thread: what it says, and a way to stop it at its next word."""

    def __init__(self, repository: Path) -> None:
        self.said: queue.Queue[str] = queue.Queue()
        self.stopping = threading.Event()
        self._repository = repository
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with pytest.raises(KeyboardInterrupt):
            supervise(self._repository, OPTIONS, self._say)

    def _say(self, line: str) -> None:
        self.said.put(line)
        if "ready" in line and self.stopping.is_set():
            raise KeyboardInterrupt

    def next_word(self) -> str:
        return self.said.get(timeout=60)

    def process(self) -> psutil.Process:
        servers = (p for p in psutil.Process().children(recursive=True) if "triton" in p.name())
        return next(p for p in servers if str(self._repository) in " ".join(p.cmdline()))

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.mark.slow
def test_lost_backend_process_and_crash_are_recovered_from(copy_of_tiny: Tiny) -> None:
    """Triton itself never starts a backend process again."""
    serving = Serving(copy_of_tiny.repository)
    ready = serving.next_word()
    with Client(ready.split("gRPC ")[1].split(",")[0], timeout=30) as client:
        before = client.recommend(Request("user-2"))
        serving.process().children()[0].kill()
        assert "backend process" in serving.next_word()
        assert serving.next_word() == ready  # on the same ports
        assert client.recommend(Request("user-2")).items == before.items
    serving.stopping.set()
    serving.process().send_signal(signal.SIGSEGV)
    assert "SIGSEGV" in serving.next_word()
    assert serving.next_word() == ready
    serving.join()


BROKEN = {
    "no model": ("ranker/3/model.onnx", None, "model.onnx cannot be loaded"),
    "no such graph": ("ranker/3/model.onnx", b"x", "model.onnx cannot be loaded"),
    "no table": ("features/3/tables/factors.npy", None, "factors.npy cannot be read"),
    "no ids": ("policy/3/tables/item_ids.json", b"{", "item_ids.json cannot be read"),
    "no configuration": ("policy/config.pbtxt", b"name: 7", "policy/config.pbtxt"),
    "state of something else": ("../state/data.mdb", b"x" * 9000, "holds no user state"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_model_that_does_not_load_says_why(copy_of_tiny: Tiny, name: str) -> None:
    path, content, words = BROKEN[name]
    if content is None:
        (copy_of_tiny.repository / path).unlink()
    else:
        (copy_of_tiny.repository / path).write_bytes(content)
    model = path.split("/")[0] if path[0] != "." else "features"
    server = TritonServer(copy_of_tiny.repository, replace(OPTIONS, models=(model,)))
    with pytest.raises(ServerError, match=words):
        server.start()
    assert not server.alive()


def test_altered_file_is_not_served(copy_of_tiny: Tiny) -> None:
    write_manifest(copy_of_tiny.repository, 3, {})
    said: list[str] = []
    with (copy_of_tiny.repository / "ranker/3/model.onnx").open("ab") as model:
        model.write(b"x")
    with pytest.raises(ReleaseError, match=r"model\.onnx was altered"):
        serve_foreground(copy_of_tiny.repository, OPTIONS, said.append)
    assert said == []


def test_missing_state_is_said_and_everybody_is_new(copy_of_tiny: Tiny, tmp_path: Path) -> None:
    options = replace(OPTIONS, state=f"lmdb://{tmp_path}/nowhere", log=tmp_path / "log")
    with TritonServer(copy_of_tiny.repository, options) as server, Client(server.grpc) as client:
        assert client.recommend(Request("user-2")).items == client.recommend(Request("new")).items
        assert "every user is a cold start" in server.log.read_text()


def test_port_in_use_is_said_before_anything_starts(server: TritonServer, tiny: Tiny) -> None:
    options = ServerOptions(ports=Ports(0, server.ports.grpc, 0))
    with pytest.raises(ServerError, match=f"port {server.ports.grpc} .* not available for grpc"):
        TritonServer(tiny.repository, options).start()


def test_port_that_is_taken_at_the_last_moment(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A free port is chosen anew when somebody was faster."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        taken = other.getsockname()[1]
        real, calls = Ports.settle, []

        def settle(self: Ports, host: str) -> Ports:
            calls.append(host)
            ports = real(self, host)
            return replace(ports, http=taken) if len(calls) == 1 else ports

        monkeypatch.setattr(Ports, "settle", settle)
        with TritonServer(tiny.repository, ONE_STEP) as server:
            assert server.ready()
    assert len(calls) == 2


def test_server_that_is_not_ready_in_time(tiny: Tiny) -> None:
    with pytest.raises(ServerError, match=r"not ready within 0\.01 s"):
        TritonServer(tiny.repository, replace(OPTIONS, ready_seconds=0.01)).start()


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="is no folder"):
        TritonServer(tmp_path / "nowhere").start()


def test_start_twice_and_wait(server: TritonServer, tiny: Tiny) -> None:
    with pytest.raises(ServerError, match="started already"):
        server.start()
    assert server.wait(0.01) is None
    with pytest.raises(ServerError, match="was not started"):
        TritonServer(tiny.repository).wait()


def test_listens_here_only(server: TritonServer) -> None:
    sockets = psutil.Process(server.pid).net_connections()
    listening = {c.laddr.ip.removeprefix("::ffff:") for c in sockets if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


def test_counters_are_in_the_metrics(server: TritonServer) -> None:
    def count(name: str) -> float:
        with closing(http.client.HTTPConnection(server.metrics, timeout=10)) as connection:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}"))

    # One request of one row, whose latency each of the three steps reports for itself.
    added = {
        "millirank_rows_total": 1,
        "millirank_cold_starts_total": 1,
        "millirank_unknown_items_total": 2,
        "millirank_step_seconds_count": 3,
        'millirank_step_seconds_bucket{le="+Inf"': 3,
    }
    before = [count(name) for name in added]
    with Client(server.grpc) as client:
        client.recommend(Request("nobody", recent=["no", "such"]))
    expected = [had + more for had, more in zip(before, added.values(), strict=True)]
    # Counters are sent to the server a quarter of a second later.
    wait_for(lambda: [count(name) for name in added] == expected)


def test_ask_of_a_running_server(server: TritonServer, tmp_path: Path) -> None:
    answer, note = ask(Request("user-2"), server.grpc, "grpc", tmp_path)
    assert answer.items
    assert note == ""


def test_ask_serves_the_repository_where_no_server_runs(tiny: Tiny) -> None:
    answer, note = ask(Request("user-2"), "127.0.0.1:9", "http", tiny.repository)
    assert answer.items
    assert "no server at 127.0.0.1:9" in note


def test_ask_without_server_and_repository(tmp_path: Path) -> None:
    with pytest.raises(ServerUnavailable, match="start one with"):
        ask(Request("user-2"), "127.0.0.1:9", "grpc", tmp_path / "nowhere")
