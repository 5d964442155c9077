"""What is served equals the rules, over every protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from serving.async_client import AsyncClient
from serving.client import Client, ProtocolName, Recommendation, Request
from serving.server import TritonServer
from tests.triton import oracle
from tests.triton.tiny import CANDIDATES, ITEMS, Tiny

REQUESTS = {
    "short history": Request("user-0"),
    "history": Request("user-2", k=5),
    "more events than the history holds": Request("user-4", k=20),
    "unknown user": Request("nobody", k=7),
    "unknown user with recent": Request("nobody", recent=["item-3", "item-9"]),
    "recent": Request("user-1", recent=["item-5", "ünïcode-50"]),
    "recent with unknown ids": Request("user-1", recent=["item-5", "no such item", "item-7"]),
    "candidates": Request("user-1", candidates=[f"item-{i}" for i in range(1, 30, 2)]),
    "more candidates than retrieval gives": Request(
        "user-1", k=40, candidates=[f"item-{i}" for i in range(1, 46)]
    ),
    "candidates partly unknown": Request("user-2", candidates=["x", "item-4", "y", "item-2"]),
    "candidates given twice": Request("user-2", candidates=["item-4", "item-2", "item-4"]),
    "candidates and recent": Request(
        "user-3", k=3, candidates=["item-1", "item-2", "item-8"], recent=["item-8"]
    ),
    "k beyond the catalogue": Request("nobody", k=100),
    "one": Request("user-3", k=1),
    "everything seen": Request("everything", candidates=["item-1", "item-2"]),
}


def expected(tiny: Tiny, tables: Any, request: Request) -> tuple[list[str], list[float]]:
    return oracle.recommend(
        tiny, tables, request.user_id, request.k, request.candidates or (), request.recent or ()
    )


def assert_equal(answer: Recommendation, items: list[str], scores: list[float]) -> None:
    assert list(answer.items) == items
    np.testing.assert_allclose(answer.scores, scores, atol=1e-5)
    assert answer.release == 3


@pytest.fixture(scope="module", params=["grpc", "http"])
def client(request: pytest.FixtureRequest, server: TritonServer) -> Iterator[Client]:
    protocol: ProtocolName = request.param
    with Client(server.grpc if protocol == "grpc" else server.http, protocol) as made:
        yield made


@pytest.mark.parametrize("name", REQUESTS)
def test_answer_follows_the_rules(client: Client, tiny: Tiny, tables: Any, name: str) -> None:
    answer = client.recommend(REQUESTS[name])
    assert_equal(answer, *expected(tiny, tables, REQUESTS[name]))
    assert answer.seconds > 0


def test_rows_of_one_request_are_answered_each(client: Client, tiny: Tiny, tables: Any) -> None:
    requests = list(REQUESTS.values())
    for answer, request in zip(client.recommend_many(requests), requests, strict=True):
        assert_equal(answer, *expected(tiny, tables, request))


def test_nothing_is_left_for_a_user_who_saw_it_all(client: Client) -> None:
    assert client.recommend(Request("everything")).items == ()


def test_seen_items_come_last_and_only_to_fill_up(client: Client, tiny: Tiny) -> None:
    events = tiny.users["user-2"]
    seen = [tiny.item_ids[i] for i in events[:3]]
    unseen = [tiny.item_ids[i] for i in range(1, ITEMS + 1) if i not in events][:2]
    answer = client.recommend(Request("user-2", k=4, candidates=[*seen, *unseen]))
    assert set(answer.items[:2]) == set(unseen)
    assert len(answer.items) == 4


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_async_client_gives_the_same(
    server: TritonServer, tiny: Tiny, tables: Any, protocol: ProtocolName
) -> None:
    address = server.grpc if protocol == "grpc" else server.http
    async with AsyncClient(address, protocol) as client:
        for request in REQUESTS.values():
            assert_equal(await client.recommend(request), *expected(tiny, tables, request))


def test_inputs_may_be_left_out(server: TritonServer, tiny: Tiny, tables: Any) -> None:
    import tritonclient.grpc as triton

    user = triton.InferInput("user_id", [1, 1], "BYTES")
    user.set_data_from_numpy(np.array([[b"user-2"]], dtype=object))
    with triton.InferenceServerClient(server.grpc) as raw:
        reply = raw.infer("recommend", [user])
    items = [item.decode() for item in reply.as_numpy("item_id")[0]]
    assert items == expected(tiny, tables, Request("user-2", k=10))[0]


def test_what_is_answered_fits_the_catalogue(client: Client) -> None:
    answer = client.recommend(Request("user-0", k=100))
    assert len(answer.items) == len(set(answer.items)) == CANDIDATES < ITEMS
