"""Locust's master, its workers and its page, against a stand-in for Triton."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from ensembles.errors import LoadTestError
from loadtest import smoke, web_page
from loadtest.figures import Figures
from loadtest.load_process import ROOT
from loadtest.plan import Plan
from loadtest.smoke import smoke_test
from loadtest.traffic import Protocol
from millirank import cli
from serving.ports import Ports
from tests.unit.loadtest.triton_stub import TritonStub


def test_figures_of_several_processes_are_joined_unrounded() -> None:
    one = Figures(2.0, 0.25, {"recommend": [1.23456789, 2.5], "probe": [0.5]}, {"503": 1})
    other = Figures(2.2, 0.75, {"recommend": [0.1]}, {"503": 2, "404": 1})
    assert Figures.unpack(one.pack()) == one
    joined = Figures.joined([one, other])
    assert joined.latencies_ms == {"recommend": [1.23456789, 2.5, 0.1], "probe": [0.5]}
    assert joined.errors == {"503": 3, "404": 1}
    assert (joined.seconds, joined.generator_share) == (pytest.approx(2.1), 0.75)


def test_two_workers_share_the_users(
    triton_stub: TritonStub, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoke, "WARM_UP_SECONDS", 0.2)
    triton_stub.seconds = 0.02
    (load,) = smoke_test(
        *(Ports(http=triton_stub.port), release),
        seconds=1.5,
        users=4,
        protocols=["http"],
        workers=2,
    ).loads
    assert load.errors == {}
    assert load.latency.p50_ms >= 20.0
    # A closed loop of four users who wait 20 ms each time: one worker's two make half of it.
    assert 0 < load.requests_per_second <= 200
    assert load.requests_per_second * load.latency.mean_ms / 1000 > 2.1
    assert load.latency.p50_ms != round(load.latency.p50_ms, 0)
    ended()


def test_a_worker_that_does_not_start(triton_stub: TritonStub, tmp_path: Path) -> None:
    plan = Plan.against(
        Ports(http=triton_stub.port), tmp_path, "recommend", Protocol.HTTP, 2, 1.0, 1
    )
    with pytest.raises(LoadTestError, match="expected 1 workers, 0 are there"):
        smoke.observe(plan, ("-m", "loadtest.master", "1"))
    ended()


def ended() -> None:
    """No process of a load is left."""
    left = [p for p in psutil.process_iter(["cmdline"]) if "loadtest.worker" in str(p.info)]
    mine = [p for p in left if psutil.Process().pid in {q.pid for q in p.parents()}]
    assert mine == []


@contextmanager
def page(stub: TritonStub, release: Path, port: int = 0) -> Iterator[subprocess.Popen[str]]:
    ports = Ports(http=stub.port)
    plans = [Plan.against(ports, release, "recommend", p, 1, 1.0, 1) for p in Protocol]
    with subprocess.Popen(
        [sys.executable, "-m", "loadtest.web", "2", str(port)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps([asdict(plan) for plan in plans]))
        process.stdin.close()
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def ask(url: str, form: dict[str, str] | None = None) -> bytes:
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    with urllib.request.urlopen(url, data, timeout=20) as answer:
        return bytes(answer.read())


def test_a_load_started_on_the_page(triton_stub: TritonStub, release: Path) -> None:
    with page(triton_stub, release) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        assert address.startswith("http://127.0.0.1:")
        assert b"<html" in ask(address)
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        form = {"user_count": "2", "spawn_rate": "2", "user_classes": "BinaryHttpUser"}
        started = json.loads(ask(f"{address}/swarm", form))
        assert started["success"], started
        assert started["user_classes"] == ["BinaryHttpUser"]
        deadline = time.monotonic() + 20
        while triton_stub.answered < 50 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert triton_stub.answered >= 50
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert alive == []


def test_workers_end_when_the_page_is_killed(triton_stub: TritonStub, release: Path) -> None:
    with page(triton_stub, release) as process:
        assert process.stdout is not None
        process.stdout.readline()
        workers = psutil.Process(process.pid).children()
        os.kill(process.pid, signal.SIGKILL)
        gone, alive = psutil.wait_procs(workers, timeout=20)
        assert (len(gone), alive) == (2, [])


def test_a_taken_port(triton_stub: TritonStub, release: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with page(triton_stub, release, taken.getsockname()[1]) as process:
            assert process.wait(30) == 1
            assert process.stderr is not None
            assert "not available for the page" in process.stderr.read()


def test_a_page_that_ended_by_itself() -> None:
    with pytest.raises(LoadTestError, match="ended with status 1"):
        web_page._page("no JSON", 1, 0)


@pytest.mark.parametrize(
    "options",
    [["--scenario", "steady", "--workers", "2"], ["--web", "--generator"]],
)
def test_options_that_exclude_each_other(options: list[str]) -> None:
    result = CliRunner().invoke(cli, ["loadtest", *options])
    assert result.exit_code == 2
    assert "not with --" in result.output
