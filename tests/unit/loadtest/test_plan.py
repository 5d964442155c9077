from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from ensembles.errors import LoadTestError
from loadtest.percentiles import Latency
from loadtest.plan import Observed, Plan
from loadtest.step_statistics import Totals
from loadtest.traffic import Protocol

PLAN = Plan("recommend", Protocol.GRPC, "127.0.0.1", 8000, 8001, "/repository", 8, 5.0, 1.0, 42)


def test_plan_survives_the_way_to_the_process() -> None:
    assert Plan.read(json.dumps(asdict(PLAN))) == PLAN


def test_observation_survives_the_way_back() -> None:
    totals = {"ranker": Totals(1, 2, 3, 4, 5, 6)}
    latency = Latency.of([1.0, 2.0])
    observed = Observed(5.0, latency, latency, {"HTTP 503": 2}, 0.5, totals, totals)
    assert Observed.read(observed.write()) == observed


def test_port_of_the_protocol() -> None:
    assert PLAN.port == 8001
    assert replace(PLAN, protocol=Protocol.HTTP).port == 8000


@pytest.mark.parametrize("users", [0, 1001])
def test_users_out_of_range(users: int) -> None:
    with pytest.raises(LoadTestError, match="1 to 1000 users"):
        replace(PLAN, users=users)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf")])
def test_seconds_out_of_range(seconds: float) -> None:
    with pytest.raises(LoadTestError, match="seconds of load"):
        replace(PLAN, seconds=seconds)


def test_warm_up_out_of_range() -> None:
    with pytest.raises(LoadTestError, match="warm-up"):
        replace(PLAN, warm_up_seconds=-1.0)


def test_seed_out_of_range() -> None:
    with pytest.raises(LoadTestError, match="seed"):
        replace(PLAN, seed=-1)
