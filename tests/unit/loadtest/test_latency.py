from __future__ import annotations

import time
from pathlib import Path

import pytest

from ensembles.errors import LoadTestError, RequestError
from loadtest.latency import measure, one_at_a_time
from loadtest.traffic import Protocol
from serving.ports import Ports
from tests.unit.loadtest.triton_stub import TritonStub


def test_every_call_is_timed_but_the_warm_up() -> None:
    asked: list[str] = []
    latency = measure(asked.append, ["a", "b", "c"], 5, warm_up=4)
    assert asked == ["a", "b", "c", "a", "a", "b", "c", "a", "b"]
    assert latency.count == 5


def test_latency_is_the_time_of_one_call() -> None:
    latency = measure(lambda _: time.sleep(0.005), [None], 10, warm_up=0)
    assert 5.0 <= latency.p50_ms < 50.0


@pytest.mark.parametrize(("requests", "count"), [([], 5), (["a"], 0)])
def test_nothing_to_measure(requests: list[str], count: int) -> None:
    with pytest.raises(LoadTestError, match="at least one request"):
        measure(print, requests, count)


def test_through_the_client(triton_stub: TritonStub, release: Path) -> None:
    triton_stub.seconds = 0.002
    latencies = one_at_a_time(
        Ports(http=triton_stub.port), release, count=20, protocols=[Protocol.HTTP]
    )
    assert list(latencies) == [Protocol.HTTP]
    assert latencies[Protocol.HTTP].count == 20
    assert latencies[Protocol.HTTP].p50_ms >= 2.0


def test_a_request_without_answer_ends_the_measurement(
    triton_stub: TritonStub, release: Path
) -> None:
    triton_stub.refuse = 1
    with pytest.raises(RequestError):
        one_at_a_time(Ports(http=triton_stub.port), release, count=5, protocols=[Protocol.HTTP])
