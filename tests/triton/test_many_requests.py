"""Thousands of generated requests, right and wrong: each is answered as the rules say."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import numpy as np

from ensembles.contracts import LIMITS
from ensembles.errors import InvalidRequest
from serving.async_client import AsyncClient
from serving.client import Client, Request
from serving.server import TritonServer
from tests.triton import oracle
from tests.triton.tiny import Tiny

COUNT = 2400
AT_ONCE = 64


def generate(rng: random.Random, tiny: Tiny) -> tuple[Request, bool]:
    """A request, and whether it is a right one."""
    users = [*tiny.users, "nobody", "ünïcode", "x" * LIMITS.id_bytes, "a b\tc\n"]
    bad_users = ["", "x" * (LIMITS.id_bytes + 1), "ü" * LIMITS.id_bytes]
    items = [*tiny.item_ids[1:], "no such", "\U0001f600", "x" * LIMITS.id_bytes]
    user, good = rng.choice(users), True
    k = rng.choice([1, 2, 10, rng.randint(1, LIMITS.k_max)])
    lists: list[list[str] | None] = []
    for _ in range(2):
        length = rng.choice([0, 1, 5, 30, 60])
        lists.append(rng.choices(items, k=length) if rng.random() < 0.5 else None)
    candidates, recent = lists
    if rng.random() < 0.2:
        good = False
        match rng.randrange(5):
            case 0:
                user = rng.choice(bad_users)
            case 1:
                k = rng.choice([0, -1, LIMITS.k_max + 1, 2**31 - 1, -(2**31)])
            case 2:
                candidates = ["unknown"] * rng.randint(1, 3)
            case 3:
                recent = ["item-1", rng.choice(["", "x" * (LIMITS.id_bytes + 1)])]
            case 4:
                candidates = ["item-1"] * (LIMITS.candidates + 1)
    known = set(tiny.item_ids[1:])
    if candidates and not known.intersection(candidates):
        good = False
    return Request(user, k, candidates, recent), good


async def ask_all(server: TritonServer, requests: list[Request]) -> list[Any]:
    gate = asyncio.Semaphore(AT_ONCE)
    async with AsyncClient(server.grpc) as grpc, AsyncClient(server.http, "http") as http:

        async def ask(place: int, request: Request) -> Any:
            async with gate:
                try:
                    return await (http if place % 4 == 0 else grpc).recommend(request, timeout=60)
                except InvalidRequest as e:
                    return e

        return await asyncio.gather(*(ask(i, r) for i, r in enumerate(requests)))


def test_thousands_of_requests(server: TritonServer, tiny: Tiny, tables: Any) -> None:
    rng = random.Random(2024)
    generated = [generate(rng, tiny) for _ in range(COUNT)]
    with Client(server.grpc) as client:
        before = client.recommend(Request("user-2"))
    answers = asyncio.run(ask_all(server, [request for request, _ in generated]))
    outcomes = Counter(isinstance(a, InvalidRequest) for a in answers)
    assert min(outcomes[False], outcomes[True]) > COUNT / 10
    for (request, good), answer in zip(generated, answers, strict=True):
        assert isinstance(answer, InvalidRequest) != good, (request, answer)
        if good:
            items, scores = oracle.recommend(
                tiny,
                tables,
                request.user_id,
                request.k,
                request.candidates or (),
                request.recent or (),
            )
            assert list(answer.items) == items
            np.testing.assert_allclose(answer.scores, scores, atol=1e-5)
    assert server.ready()
    with Client(server.grpc) as client:
        after = client.recommend(Request("user-2"))
    assert (after.items, after.scores) == (before.items, before.scores)
