"""The load test against the real server: its figures, and that they fit together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from ensembles.errors import RequestError
from loadtest.budget import Part
from loadtest.grpc_channel import Channel
from loadtest.latency import one_at_a_time
from loadtest.smoke import LoadResult, smoke_test
from loadtest.step_statistics import Snapshot, read_snapshot
from loadtest.traffic import Protocol, holdout_users, prepare
from serving.server import TritonServer
from tests.triton.tiny import Tiny

INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture(scope="module")
def release(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The users of ``tiny``, where a built release names those it held an event out of."""
    folder = tmp_path_factory.mktemp("release") / "recommend" / "3"
    folder.mkdir(parents=True)
    (folder / "holdout.json").write_text(json.dumps({"users": list(tiny.users)}))
    return folder.parents[1]


@pytest.fixture(scope="module")
def loaded(server: TritonServer, release: Path) -> tuple[LoadResult, Snapshot]:
    """A load test over both protocols, and the statistics that it began with."""
    before = read_snapshot("127.0.0.1", server.ports.http)
    return smoke_test(server.ports, release, seconds=3, users=4), before


def test_both_protocols_are_answered(loaded: tuple[LoadResult, Snapshot]) -> None:
    result, _ = loaded
    assert [load.protocol for load in result.protocols] == [Protocol.GRPC, Protocol.HTTP]
    assert result.errors == 0, [load.errors for load in result.protocols]
    for load in result.protocols:
        latency = load.latency
        assert latency.count > 50
        assert 0 < latency.p50_ms <= latency.p95_ms <= latency.p99_ms
        # A closed loop: four users, each of them waiting all the time (Little's law); a little
        # less, because one request in ten is followed by one that counts apart.
        waiting = load.requests_per_second * latency.mean_ms / 1000
        assert 2.0 < waiting < 4.2


def test_the_server_counted_the_same_requests(
    loaded: tuple[LoadResult, Snapshot], server: TritonServer
) -> None:
    result, before = loaded
    after = read_snapshot("127.0.0.1", server.ports.http)
    answered = after["recommend"].count - before["recommend"].count
    measured = sum(load.budget.chain.ensemble.count for load in result.protocols)
    seen = sum(load.latency.count for load in result.protocols)
    # Requests in flight at either end of a window are counted by one side only.
    assert measured == pytest.approx(seen, abs=200)
    assert answered > seen  # the warm-up is in the one and not in the other


def test_every_part_of_the_budget_took_time(loaded: tuple[LoadResult, Snapshot]) -> None:
    result, _ = loaded
    for load in result.protocols:
        budget = load.budget
        assert [step.name for step in budget.chain.steps] == ["features", "ranker", "policy"]
        assert min(budget.part_ms(part) for part in Part) > 0
        assert budget.client_ms == load.latency.mean_ms
        # Whatever the machine is busy with, most of the time is accounted for.
        assert budget.closure_error < 0.6, budget.line()


def test_one_request_at_a_time(server: TritonServer, release: Path) -> None:
    latencies = one_at_a_time(server.ports, release, count=50)
    assert list(latencies) == [Protocol.GRPC, Protocol.HTTP]
    assert all(latency.count == 50 for latency in latencies.values())


@pytest.fixture
def channel(server: TritonServer) -> Iterator[Channel]:
    channel = Channel("127.0.0.1", server.ports.grpc)
    yield channel
    channel.close()
    gevent.sleep(0.01)


def test_the_load_clients_grpc_is_understood(channel: Channel, release: Path) -> None:
    from tritonclient.grpc import service_pb2

    (request,) = prepare(Protocol.GRPC, holdout_users(release)[:1])
    reply = service_pb2.ModelInferResponse.FromString(channel.call(INFER, request.body, 10))
    assert (reply.model_name, reply.model_version) == ("recommend", "3")
    assert {output.name for output in reply.outputs} == {"item_id", "score"}


def test_the_load_client_hands_on_the_servers_errors(channel: Channel) -> None:
    from tritonclient.grpc import service_pb2

    body = service_pb2.ModelInferRequest(model_name="nothing").SerializeToString()
    with pytest.raises(RequestError, match="unknown model: 'nothing'"):
        channel.call(INFER, body, 10)
