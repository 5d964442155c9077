"""The load test against the real server: its figures, and that they fit together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gevent
import numpy as np
import pytest
from click.testing import CliRunner

from ensembles.errors import RequestError
from loadtest import latency, smoke
from loadtest.budget import Part
from loadtest.command import loadtest
from loadtest.grpc_channel import Channel
from loadtest.latency import one_at_a_time
from loadtest.no_op.measure import measure
from loadtest.report.stored import StoredRun
from loadtest.smoke import LoadResult, smoke_test
from loadtest.step_statistics import Snapshot, read_snapshot
from loadtest.traffic import Protocol, prepare, requests_for
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton.tiny import Tiny, make_release
from tests.triton.tiny_visual import picture

INFER = "/inference.GRPCInferenceService/ModelInfer"
STEPS = ["features", "ranker", "policy"]
OF = {"recommend": STEPS, "recommend_visual": ["preprocess", "image_encoder", *STEPS]}


@pytest.fixture(scope="module")
def visual(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A release that takes pictures, and names users that it held an event out of."""
    tiny = make_release(tmp_path_factory.mktemp("visual"), release=3, visual=True)
    about = tiny.repository / "recommend" / "3"
    (about / "holdout.json").write_text(json.dumps({"users": list(tiny.users)}))
    return tiny


@pytest.fixture(scope="module")
def release(visual: Tiny) -> Path:
    return visual.repository


@pytest.fixture(scope="module")
def running(release: Path) -> Iterator[TritonServer]:
    with TritonServer(release, ServerOptions(ports=Ports(0, 0, 0))) as server:
        yield server


@pytest.fixture(scope="module")
def loaded(running: TritonServer, release: Path) -> tuple[LoadResult, Snapshot]:
    """A load test of both ensembles and protocols, and the statistics that it began with."""
    before = read_snapshot("127.0.0.1", running.ports.http)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(smoke, "WARM_UP_SECONDS", 0.5)
        return smoke_test(running.ports, release, seconds=4, users=4), before


def test_both_ensembles_and_protocols_are_answered(loaded: tuple[LoadResult, Snapshot]) -> None:
    result, _ = loaded
    assert [(load.ensemble, load.protocol) for load in result.loads] == [
        (ensemble, protocol) for ensemble in OF for protocol in (Protocol.GRPC, Protocol.HTTP)
    ]
    assert result.errors == 0, [load.errors for load in result.loads]
    for load in result.loads:
        latency = load.latency
        assert latency.count > 50
        assert 0 < latency.p50_ms <= latency.p95_ms <= latency.p99_ms
        # A closed loop: four users, each of them waiting all the time (Little's law); a little
        # less, because one request in ten is followed by one that counts apart.
        waiting = load.requests_per_second * latency.mean_ms / 1000
        assert 2.0 < waiting < 4.2


@pytest.mark.parametrize("ensemble", OF)
def test_the_server_counted_the_same_requests(
    loaded: tuple[LoadResult, Snapshot], running: TritonServer, ensemble: str
) -> None:
    result, before = loaded
    after = read_snapshot("127.0.0.1", running.ports.http)
    answered = after[ensemble].count - before[ensemble].count
    loads = [load for load in result.loads if load.ensemble == ensemble]
    measured = sum(load.budget.chain.ensemble.count for load in loads)
    seen = sum(load.latency.count for load in loads)
    # Requests in flight at either end of a window are counted by one side only.
    assert measured == pytest.approx(seen, abs=200)
    assert answered > seen  # the warm-up is in the one and not in the other


def test_every_part_of_the_budget_took_time(loaded: tuple[LoadResult, Snapshot]) -> None:
    result, _ = loaded
    for load in result.loads:
        budget = load.budget
        assert [step.name for step in budget.chain.steps] == OF[load.ensemble]
        assert min(budget.part_ms(part) for part in Part) > 0
        assert all(step.busy_ms > 0 for step in budget.chain.steps)
        assert budget.client_ms == load.latency.mean_ms
        # Whatever the machine is busy with, most of the time is accounted for.
        assert budget.closure_error < 0.6, budget.line()


def test_one_request_at_a_time(
    running: TritonServer, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "WARM_UP", 10)
    measured = one_at_a_time(running.ports, release, count=50)
    assert [(found.ensemble, found.protocol) for found in measured] == [
        (ensemble, protocol) for ensemble in OF for protocol in (Protocol.GRPC, Protocol.HTTP)
    ]
    for found in measured:
        assert found.latency.count == 50
        assert [step.name for step in found.chain.steps] == OF[found.ensemble]
        # The warm-up is in neither figure; a request may be counted after it was answered.
        assert all(step.count == pytest.approx(50, abs=1) for step in found.chain.steps)
        busy = sum(step.busy_ms for step in found.chain.steps)
        assert busy + found.between_ms == pytest.approx(found.latency.mean_ms)
        assert busy > 0


@pytest.fixture
def channel(running: TritonServer) -> Iterator[Channel]:
    channel = Channel("127.0.0.1", running.ports.grpc)
    yield channel
    channel.close()
    gevent.sleep(0.01)


@pytest.mark.parametrize("ensemble", OF)
def test_the_load_clients_grpc_is_understood(
    channel: Channel, release: Path, ensemble: str
) -> None:
    from tritonclient.grpc import service_pb2

    (request,) = prepare(Protocol.GRPC, requests_for(release, ensemble, seed=1)[:1])
    reply = service_pb2.ModelInferResponse.FromString(channel.call(INFER, request.body, 10))
    assert (reply.model_name, reply.model_version) == (ensemble, "3")
    assert {output.name for output in reply.outputs} == {"item_id", "score", "degraded"}


def test_large_pictures_at_the_same_time_as_small_requests(channel: Channel, release: Path) -> None:
    from tritonclient.grpc import service_pb2

    noise = np.random.default_rng(1).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    plain = requests_for(release, "recommend", seed=1)[:20]
    # A megabyte behind the end of the picture changes nothing about it: rows of one request are
    # filled up so.
    small = replace(plain[0], image=picture(noise))
    large = replace(plain[0], image=picture(noise) + bytes(1_000_000))
    bodies = [request.body for request in prepare(Protocol.GRPC, [large, *plain, large, small])]
    calls = [gevent.spawn(channel.call, INFER, body, 20) for body in bodies]
    gevent.joinall(calls)
    replies = [service_pb2.ModelInferResponse.FromString(call.get()) for call in calls]
    shown = [replies[0], *replies[-2:]]
    assert {reply.model_name for reply in shown} == {"recommend_visual"}
    assert len({tuple(reply.raw_output_contents) for reply in shown}) == 1


def test_the_load_client_hands_on_the_servers_errors(channel: Channel) -> None:
    from tritonclient.grpc import service_pb2

    body = service_pb2.ModelInferRequest(model_name="nothing").SerializeToString()
    with pytest.raises(RequestError, match="unknown model: 'nothing'"):
        channel.call(INFER, body, 10)


@pytest.mark.slow
def test_a_model_that_does_nothing_limits_no_load_process(release: Path) -> None:
    speeds = measure(release, seconds=1.0, seed=1)
    assert [(s.loop, s.protocol) for s in speeds] == [
        (loop, protocol) for loop in ("open", "closed") for protocol in Protocol
    ]
    for speed in speeds:
        assert speed.requests_per_second > 100
        assert 0 < speed.generator_share < 1.2
        assert speed.ceiling > 0.8 * speed.requests_per_second


def test_a_server_that_runs_already_is_loaded(
    running: TritonServer, release: Path, tmp_path: Path
) -> None:
    scenario, kept = tmp_path / "few.toml", tmp_path / "run.json"
    scenario.write_text(
        'about = "a test"\nwarm_up_seconds = 0\nphases = [{ seconds = 1, rate = 40 }]'
    )
    ports = f"{running.ports.http},{running.ports.grpc},{running.ports.metrics}"
    command = [str(release), "--scenario", str(scenario), "--json", str(kept)]
    command += ["--server", "127.0.0.1", "--ports", ports, "--out", str(tmp_path)]
    result = CliRunner().invoke(loadtest, command, catch_exceptions=False)
    run = StoredRun.read(kept).run
    assert run.errors == {}
    assert len(run.latency_ms) > 10
    assert "P = f(U, X, M)" in result.output
