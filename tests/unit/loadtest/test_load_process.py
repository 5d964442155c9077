from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from ensembles.errors import LoadTestError, MissingExtra
from loadtest import load_process, smoke
from loadtest.bottleneck import GENERATOR_LIMIT
from loadtest.budget import Part
from loadtest.plan import Plan
from loadtest.smoke import smoke_test
from loadtest.traffic import Protocol, holdout_users
from serving.ports import Ports
from tests.unit.loadtest.triton_stub import PICTURES, TIMES_MS, TritonStub

ROOT = Path(smoke.__file__).resolve().parents[1]


@pytest.fixture
def short_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "WARM_UP_SECONDS", 0.2)


@pytest.mark.usefixtures("short_warm_up")
def test_figures_are_those_of_the_server(triton_stub: TritonStub, release: Path) -> None:
    triton_stub.seconds, triton_stub.refuse = 0.01, 10
    result = smoke_test(
        Ports(http=triton_stub.port), release, seconds=1.5, users=3, protocols=["http"], seed=7
    )
    (load,) = result.loads
    assert (load.ensemble, load.protocol) == ("recommend", Protocol.HTTP)
    assert load.latency.p50_ms >= 10.0
    assert 1.5 <= load.seconds < 3.0
    # Three users who wait 10 ms each time cannot ask more often than this.
    assert 0 < load.requests_per_second <= 300
    assert 0 < load.generator_share < GENERATOR_LIMIT
    assert not load.bottleneck
    assert load.generator_ceiling > load.requests_per_second
    (message,) = load.errors
    assert "503" in message
    assert "queue full" in message
    asked = load.latency.count + load.failed
    assert result.errors == load.failed == pytest.approx(asked / 10, abs=3)
    assert load.budget.part_ms(Part.X) == pytest.approx(sum(TIMES_MS["features"][1:]))
    assert load.budget.part_ms(Part.M) == pytest.approx(sum(TIMES_MS["ranker"][1:]))
    bodies = triton_stub.bodies
    # Locust, and what it does to the standard library, stayed in the other process.
    assert "locust" not in sys.modules
    assert threading.Thread.__module__ == "threading"
    asked_for = {u for u in holdout_users(release) if any(u.encode() in b for b in bodies)}
    assert len(asked_for) > 20


@pytest.mark.usefixtures("short_warm_up")
def test_pictures_are_sent_where_the_release_takes_them(
    triton_stub: TritonStub, visual_release: Path
) -> None:
    triton_stub.seconds = 0.01
    result = smoke_test(
        Ports(http=triton_stub.port), visual_release, seconds=1, users=3, protocols=["http"]
    )
    assert [load.ensemble for load in result.loads] == ["recommend", "recommend_visual"]
    assert [load.seconds for load in result.loads] == pytest.approx([0.5, 0.5], abs=0.2)
    plain, visual = result.loads
    assert visual.latency.count <= triton_stub.answered_visual
    # The steps that both share are counted for each in its own time.
    assert plain.budget.part_ms(Part.X) == pytest.approx(sum(TIMES_MS["features"][1:]))
    in_x = ("preprocess", "image_encoder", "features")
    assert [step.name for step in visual.budget.steps_of(Part.X)] == list(in_x)
    assert visual.budget.part_ms(Part.X) == pytest.approx(sum(sum(TIMES_MS[s][1:]) for s in in_x))
    assert visual.budget.part_ms(Part.M) == plain.budget.part_ms(Part.M)
    sent = [{p for p in PICTURES if p in body} for body in triton_stub.bodies]
    shown = [pictures for pictures in sent if pictures]
    assert len(shown) == triton_stub.answered_visual
    assert set.union(*shown) == set(PICTURES)


@pytest.mark.usefixtures("short_warm_up")
def test_nothing_answered_names_the_error(triton_stub: TritonStub, release: Path) -> None:
    triton_stub.refuse = 1
    with pytest.raises(LoadTestError, match="no request was answered by recommend in.*queue full"):
        smoke_test(Ports(http=triton_stub.port), release, seconds=0.5, protocols=["http"])


@pytest.mark.parametrize("protocols", [[], ["grpc", "udp"]])
def test_unknown_protocol(release: Path, protocols: list[str]) -> None:
    with pytest.raises(LoadTestError, match=r"\['grpc', 'http'\]"):
        smoke_test(Ports(), release, protocols=protocols)


def test_without_locust(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="locust is not installed"):
        smoke_test(Ports(), release)


def test_no_server(release: Path) -> None:
    with pytest.raises(LoadTestError, match="127.0.0.1:1/"):
        smoke_test(Ports(http=1), release)


def plan(stub: TritonStub, release: Path, seconds: float) -> Plan:
    return Plan(
        "recommend", Protocol.HTTP, "127.0.0.1", stub.port, 0, str(release), 2, seconds, 0.0, 1
    )


def test_a_process_that_hangs_is_ended(
    triton_stub: TritonStub, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_process, "_GRACE_SECONDS", 0.3)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    monkeypatch.setattr(load_process, "_END_SECONDS", 0.3)
    start = time.monotonic()
    with pytest.raises(LoadTestError, match="did not end within"):
        smoke.observe(plan(triton_stub, release, 0.1), ("-c", stubborn))
    assert time.monotonic() - start < 10


def test_a_process_that_dies_is_reported(triton_stub: TritonStub, release: Path) -> None:
    with pytest.raises(LoadTestError, match="ended 7"):
        smoke.observe(
            plan(triton_stub, release, 0.1), ("-c", "import sys; sys.stdin.read(); sys.exit(7)")
        )


def test_sigterm_lets_requests_in_flight_finish(triton_stub: TritonStub, release: Path) -> None:
    triton_stub.seconds = 0.3
    process = subprocess.Popen(
        [sys.executable, "-m", "loadtest.generator"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(plan_text(triton_stub, release))
    process.stdin.close()
    process.stdin = None
    wait_for = time.monotonic() + 20
    while not triton_stub.bodies and time.monotonic() < wait_for:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    output, complaint = process.communicate(timeout=20)
    assert process.returncode == 1
    assert output == ""
    assert "stopped before its time" in complaint


def plan_text(stub: TritonStub, release: Path) -> str:
    return json.dumps(asdict(plan(stub, release, 60.0)))


def locust(stub: TritonStub, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "BinaryHttpUser"),
            *("--host", f"http://127.0.0.1:{stub.port}", "--headless", "--only-summary"),
            *("-u", "2", "-r", "2", "-t", "1s", "--stop-timeout", "5"),
        ],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "MILLIRANK_REPOSITORY"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_locusts_own_command_line(triton_stub: TritonStub, release: Path) -> None:
    run = locust(triton_stub, {"MILLIRANK_REPOSITORY": str(release)})
    assert run.returncode == 0, run.stderr
    assert triton_stub.answered > 0


def test_locusts_own_command_line_with_pictures(
    triton_stub: TritonStub, visual_release: Path
) -> None:
    environment = {
        "MILLIRANK_REPOSITORY": str(visual_release),
        "MILLIRANK_ENSEMBLE": "recommend_visual",
    }
    run = locust(triton_stub, environment)
    assert run.returncode == 0, run.stderr
    assert "recommend_visual" in run.stderr + run.stdout
    assert triton_stub.answered == 0
    assert triton_stub.answered_visual > 0


def test_locusts_command_line_without_a_repository(triton_stub: TritonStub) -> None:
    run = locust(triton_stub, {})
    assert run.returncode != 0
    assert "set MILLIRANK_REPOSITORY" in run.stderr
    assert triton_stub.answered == 0
