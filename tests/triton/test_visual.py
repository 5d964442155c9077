"""Requests with a picture, through the whole chain on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensembles.errors import InvalidRequest
from ensembles.step_code import load_step
from serving.client import Client, Request
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton import oracle, tiny_visual
from tests.triton.tiny import ITEMS, Tiny, make_release

SQUARES = tiny_visual.colours(ITEMS)


@pytest.fixture(scope="module", params=["in the graph", "looked up"])
def visual(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A release that takes pictures, in both forms of the item table."""
    folder = tmp_path_factory.mktemp("visual")
    return make_release(folder, release=2, lookup=request.param == "looked up", visual=True)


@pytest.fixture(scope="module")
def tables(visual: Tiny) -> Any:
    folder = visual.repository / "features" / "2"
    return load_step(folder).Tables.load(folder / "tables")


@pytest.fixture(scope="module")
def running(visual: Tiny) -> Iterator[TritonServer]:
    with TritonServer(visual.repository, ServerOptions(ports=Ports(0, 0, 0))) as server:
        yield server


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("user", ["user-0", "user-2", "everything", "nobody"])
@pytest.mark.parametrize("given", [(), ("item-3", "item-44", "item-7")])
def test_answers_as_the_oracle(
    running: TritonServer,
    visual: Tiny,
    tables: Any,
    protocol: Any,
    user: str,
    given: tuple[str, ...],
) -> None:
    shown = SQUARES[20]
    image = tiny_visual.picture(shown)
    with Client(getattr(running, protocol), protocol) as client:
        answer = client.recommend(Request(user, k=12, candidates=given, image=image))
    (query,) = tiny_visual.vectors(shown[None])
    items, scores = oracle.recommend(visual, tables, user, 12, given, query=query)
    assert list(answer.items) == items
    np.testing.assert_allclose(answer.scores, scores, atol=1e-4)
    assert answer.release == 2


def test_rows_with_pictures_of_different_lengths(running: TritonServer, visual: Tiny) -> None:
    requests = [
        Request("user-1", image=tiny_visual.picture(SQUARES[n], edge))
        for n, edge in ((3, 32), (4, 64), (5, 96))
    ]
    with Client(running.grpc) as client:
        together = client.recommend_many(requests)
        alone = [client.recommend(request) for request in requests]
    assert [a.items for a in together] == [a.items for a in alone]


def test_a_release_with_pictures_answers_requests_without(
    running: TritonServer, visual: Tiny, tables: Any
) -> None:
    with Client(running.grpc) as client:
        answer = client.recommend(Request("user-3", k=7))
    assert list(answer.items) == oracle.recommend(visual, tables, "user-3", 7)[0]


def test_the_vector_of_a_picture(running: TritonServer) -> None:
    import tritonclient.grpc as triton

    raw = np.frombuffer(tiny_visual.picture(SQUARES[8]), np.uint8)
    with triton.InferenceServerClient(running.grpc) as client:
        tensor = triton.InferInput("image", [1, len(raw)], "UINT8")
        tensor.set_data_from_numpy(raw[None])
        vector = client.infer("encode_image", [tensor]).as_numpy("visual_vector")
    np.testing.assert_allclose(vector, tiny_visual.vectors(SQUARES[[8]]), atol=1e-3)


def test_bad_requests_are_told_what_is_wrong(running: TritonServer) -> None:
    import tritonclient.grpc as triton

    with (
        Client(running.grpc) as client,
        pytest.raises(InvalidRequest, match="image: "),
    ):
        client.recommend(Request("user-1", image=b"no picture at all"))
    user = triton.InferInput("user_id", [1, 1], "BYTES")
    user.set_data_from_numpy(np.array([[b"user-1"]], object))
    image = triton.InferInput("image", [1, 3], "UINT8")
    image.set_data_from_numpy(np.zeros((1, 3), np.uint8))
    with triton.InferenceServerClient(running.grpc) as plain:
        with pytest.raises(triton.InferenceServerException, match="image: expected one encoded"):
            plain.infer("recommend_visual", [user])
        raw = np.frombuffer(tiny_visual.picture(SQUARES[8]), np.uint8)
        image = triton.InferInput("image", [1, len(raw)], "UINT8")
        image.set_data_from_numpy(raw[None])
        with pytest.raises(triton.InferenceServerException, match="user_id: expected one id"):
            plain.infer("recommend_visual", [image])


def test_a_release_without_pictures_says_so(server: TritonServer) -> None:
    picture = tiny_visual.picture(SQUARES[8])
    with (
        Client(server.grpc) as client,
        pytest.raises(InvalidRequest, match="takes no pictures"),
    ):
        client.recommend(Request("user-1", image=picture))


def test_samples_are_those_of_the_release(visual: Tiny) -> None:
    samples = sorted(Path(visual.repository, "recommend_visual", "2", "samples").iterdir())
    assert samples[0].read_bytes() == tiny_visual.picture(SQUARES[0])
