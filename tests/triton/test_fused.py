"""Steps joined into one model answer as the steps apart, on the real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensembles.errors import InvalidRequest
from ensembles.fuse import FUSED
from ensembles.profiles import CPU
from ensembles.step_code import load_step
from loadtest.step_statistics import chain_times, read_chain, settled_snapshot
from serving.client import Client, ProtocolName, Request
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton import oracle, tiny_visual
from tests.triton.test_answers import REQUESTS, expected
from tests.triton.tiny import ITEMS, Tiny, make_release

PICTURE = tiny_visual.colours(ITEMS)[20]


@pytest.fixture(scope="module", params=["in the graph", "looked up"])
def fused(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A release that takes pictures, joined, in both forms of the item table."""
    folder, lookup = tmp_path_factory.mktemp("fused"), request.param == "looked up"
    return make_release(folder, release=2, lookup=lookup, visual=True, fused=True)


@pytest.fixture(scope="module")
def tables(fused: Tiny) -> Any:
    folder = fused.repository / "features" / "2"
    return load_step(folder).Tables.load(folder / "tables")


@pytest.fixture(scope="module")
def running(fused: Tiny) -> Iterator[TritonServer]:
    with TritonServer(fused.repository, ServerOptions(ports=Ports(0, 0, 0))) as server:
        yield server


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_answers_as_the_oracle(
    running: TritonServer, fused: Tiny, tables: Any, protocol: ProtocolName
) -> None:
    with Client(getattr(running, protocol), protocol) as client:
        for request in REQUESTS.values():
            answer = client.recommend(request)
            items, scores = expected(fused, tables, request)
            assert list(answer.items) == items
            np.testing.assert_allclose(answer.scores, scores, atol=1e-5)
            assert answer.release == 2
        together = client.recommend_many(list(REQUESTS.values()))
    for answer, request in zip(together, REQUESTS.values(), strict=True):
        assert list(answer.items) == expected(fused, tables, request)[0]


@pytest.mark.parametrize("user", ["user-2", "nobody"])
def test_answers_with_a_picture_as_the_oracle(
    running: TritonServer, fused: Tiny, tables: Any, user: str
) -> None:
    with Client(running.grpc) as client:
        answer = client.recommend(Request(user, k=12, image=tiny_visual.picture(PICTURE)))
    (query,) = tiny_visual.vectors(PICTURE[None])
    items, scores = oracle.recommend(fused, tables, user, 12, query=query)
    assert list(answer.items) == items
    np.testing.assert_allclose(answer.scores, scores, atol=1e-4)


def test_a_bad_request_is_answered_alone(running: TritonServer) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def ask(user: str) -> int:
        return len(client.recommend(Request(user)).items)

    with Client(running.grpc) as client, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, "" if n % 4 == 0 else "user-1") for n in range(64)]
    for n, answer in enumerate(asked):
        if n % 4 == 0:
            with pytest.raises(InvalidRequest, match="empty string"):
                answer.result()
        else:
            assert answer.result() == 10


def test_only_the_joined_model_is_loaded(running: TritonServer) -> None:
    import tritonclient.http as triton

    with triton.InferenceServerClient(running.http) as control:
        assert control.is_model_ready(FUSED)
        assert not any(control.is_model_ready(step) for step in CPU.fused)


def test_times_of_the_stages_add_up_to_the_model(running: TritonServer) -> None:
    ports = running.ports
    with Client(running.grpc) as client:
        before = settled_snapshot("127.0.0.1", ports.http, ports.metrics)
        for _ in range(50):
            client.recommend(Request("user-2"))
        after = settled_snapshot("127.0.0.1", ports.http, ports.metrics)
    steps = chain_times(before, after, read_chain("127.0.0.1", ports.http)).steps
    assert [step.name for step in steps] == list(CPU.fused)
    whole = chain_times(before, after, (), FUSED).ensemble
    assert all(after[f"{FUSED}/{s}"].count - before[f"{FUSED}/{s}"].count == 50 for s in CPU.fused)
    assert sum(step.busy_ms for step in steps) == pytest.approx(whole.busy_ms)
    assert sum(step.total_ms for step in steps) == pytest.approx(whole.total_ms)
    assert all(step.compute_infer_ms > 0 for step in steps)


def test_another_profile_takes_the_steps_apart(tmp_path: Path) -> None:
    """The gpu profile's ensemble, over steps on the processor: they have no such file here."""
    tiny = make_release(tmp_path, release=2, fused=True)
    configs = tiny.repository / "recommend" / "configs"
    shutil.copy2(configs / "gpu.pbtxt", configs / "apart.pbtxt")
    options = ServerOptions(ports=Ports(0, 0, 0), config_name="apart")
    folder = tiny.repository / "features" / "2"
    tables = load_step(folder).Tables.load(folder / "tables")
    with TritonServer(tiny.repository, options) as server, Client(server.grpc) as client:
        assert read_chain("127.0.0.1", server.ports.http) == CPU.fused
        request = REQUESTS["history"]
        assert list(client.recommend(request).items) == expected(tiny, tables, request)[0]
