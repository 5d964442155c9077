from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from ensembles.errors import LoadTestError, MissingExtra
from loadtest.objective import Objective, judge
from loadtest.record import RunRecord
from loadtest.run import play
from loadtest.scenario import Phase, Scenario
from loadtest.traffic import DRAWN
from serving.ports import Ports
from tests.unit.loadtest.triton_stub import TritonStub

COMPARED = 300  # as loadtest.player has it, which is not to be imported here
ASKED_BEFORE = len(range(0, DRAWN, DRAWN // COMPARED))


def over_http(**phase: Any) -> Scenario:
    return Scenario(
        about="a test", phases=(Phase(**phase),), arrivals="constant", grpc=0, warm_up_seconds=0
    )


def run(stub: TritonStub, release: Path, scenario: Scenario) -> RunRecord:
    return play("test", scenario, Ports(http=stub.port), release)


def test_a_pause_shows_in_the_open_loop(triton_stub: TritonStub, release: Path) -> None:
    triton_stub.pause_at, triton_stub.pause_seconds = ASKED_BEFORE + 50, 0.2
    found = run(triton_stub, release, over_http(seconds=2, rate=100))
    assert found.loop == "open"
    assert len(found.latency_ms) == 200
    # 20 requests were due while the server paused; the first half waited for 100 ms or more.
    assert 8 <= sum(ms > 100 for ms in found.latency_ms) <= 30
    assert found.errors == {}
    assert found.quality is not None
    assert found.quality.same == 1.0
    assert found.budgets["recommend"].chain.ensemble.count == pytest.approx(200, abs=1)


def test_a_pause_hides_in_a_closed_loop(triton_stub: TritonStub, release: Path) -> None:
    triton_stub.pause_at, triton_stub.pause_seconds = ASKED_BEFORE + 50, 0.2
    triton_stub.seconds = 0.003
    found = run(triton_stub, release, over_http(seconds=1.5, users=1))
    assert found.loop == "closed"
    assert sum(ms > 150 for ms in found.latency_ms) == 1


def test_a_wrong_answer_fails_the_quality(triton_stub: TritonStub, release: Path) -> None:
    about = release / "recommend" / "3" / "holdout.json"
    about.write_text(json.dumps({"users": ["u1"], "items": ["7"]}))
    triton_stub.right = ASKED_BEFORE
    found = run(triton_stub, release, over_http(seconds=1, rate=50))
    assert found.quality is not None
    assert (found.quality.ndcg_unloaded, found.quality.ndcg_loaded) == (1.0, 0.0)
    missed = [v.name for v in judge(Objective(ndcg_difference=0.001), found) if v.missed]
    assert "NDCG@10 under load, difference" in missed


@pytest.mark.slow
def test_a_starved_load_process_is_reported(triton_stub: TritonStub, release: Path) -> None:
    found = run(triton_stub, release, over_http(seconds=1, rate=8_000))
    assert found.bottleneck
    assert [v.name for v in judge(Objective(), found) if v.missed] == ["load process"]


def test_refused_requests_are_counted(triton_stub: TritonStub, release: Path) -> None:
    triton_stub.refuse = ASKED_BEFORE + 1
    found = run(triton_stub, release, over_http(seconds=1, rate=50))
    assert sum(found.errors.values()) == 1
    assert found.error_share == pytest.approx(1 / 50)
    assert found.failed_s == pytest.approx((0.0,), abs=0.01)  # the first one


def test_no_answer_before_the_load(triton_stub: TritonStub, release: Path) -> None:
    triton_stub.refuse = 1
    with pytest.raises(LoadTestError, match="before the load got no answer"):
        run(triton_stub, release, over_http(seconds=1, rate=50))
    assert threading.Thread.__module__ == "threading"


def test_without_locust(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match="locust is not installed"):
        play("test", over_http(seconds=1, rate=1), Ports(), release)
