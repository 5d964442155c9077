from __future__ import annotations

import time
from pathlib import Path

import pytest

from ensembles.errors import LoadTestError, RequestError
from loadtest import latency
from loadtest.latency import measure, one_at_a_time
from loadtest.traffic import Protocol
from serving.ports import Ports
from tests.unit.loadtest.triton_stub import PICTURES, STEPS, TIMES_MS, VISUAL_STEPS, TritonStub


def test_every_call_is_timed() -> None:
    asked: list[str] = []
    found = measure(asked.append, ["a", "b", "c"], 5)
    assert asked == ["a", "b", "c", "a", "b"]
    assert found.count == 5


def test_latency_is_the_time_of_one_call() -> None:
    found = measure(lambda _: time.sleep(0.005), [None], 10)
    assert 5.0 <= found.p50_ms < 50.0


@pytest.mark.parametrize(("requests", "count"), [([], 5), (["a"], 0)])
def test_nothing_to_measure(requests: list[str], count: int) -> None:
    with pytest.raises(LoadTestError, match="at least one request"):
        measure(print, requests, count)


def test_through_the_client(triton_stub: TritonStub, release: Path) -> None:
    triton_stub.seconds = 0.002
    (found,) = one_at_a_time(Ports(http=triton_stub.port), release, count=20, protocols=["http"])
    assert (found.ensemble, found.protocol) == ("recommend", Protocol.HTTP)
    assert found.latency.count == found.chain.ensemble.count == 20
    assert found.latency.p50_ms >= 2.0


def test_steps_take_what_the_server_says(
    triton_stub: TritonStub, visual_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "WARM_UP", 3)
    triton_stub.seconds = 0.02
    plain, visual = one_at_a_time(
        Ports(http=triton_stub.port), visual_release, count=5, protocols=["http"]
    )
    assert [step.name for step in plain.chain.steps] == list(STEPS)
    assert [step.name for step in visual.chain.steps] == list(VISUAL_STEPS)
    busy = [step.busy_ms for step in visual.chain.steps]
    assert busy == pytest.approx([sum(TIMES_MS[s][1:]) for s in VISUAL_STEPS])
    assert visual.between_ms == pytest.approx(visual.latency.mean_ms - sum(busy))
    # The same picture all the time: each step is to be timed on that one.
    assert all(PICTURES[0] in body for body in triton_stub.bodies[-triton_stub.answered_visual :])


def test_a_picture_of_ones_own(
    triton_stub: TritonStub, visual_release: Path, tmp_path: Path
) -> None:
    image = tmp_path / "photo.jpg"
    image.write_bytes(b"my own picture")
    one_at_a_time(
        Ports(http=triton_stub.port), visual_release, count=1, protocols=["http"], image=image
    )
    assert triton_stub.bodies[-1].endswith(b"my own picture")


def test_a_picture_that_cannot_be_read(visual_release: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match="cannot read the picture.*No such file"):
        one_at_a_time(Ports(), visual_release, image=tmp_path / "photo.jpg")


def test_a_picture_for_a_release_that_takes_none(release: Path, tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match="takes no pictures"):
        one_at_a_time(Ports(), release, image=tmp_path / "photo.jpg")


def test_a_request_without_answer_ends_the_measurement(
    triton_stub: TritonStub, release: Path
) -> None:
    triton_stub.refuse = 1
    with pytest.raises(RequestError):
        one_at_a_time(Ports(http=triton_stub.port), release, count=5, protocols=["http"])
