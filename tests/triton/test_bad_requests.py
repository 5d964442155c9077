"""A wrong request gets a sentence of its own, and its batch mates get their answers."""

from __future__ import annotations

import asyncio
import http.client
import json
import struct
from contextlib import closing
from dataclasses import replace

import pytest

from ensembles.contracts import LIMITS, MAX_BATCH, DataType, TensorSpec
from ensembles.errors import InvalidRequest, RequestError
from serving.async_client import AsyncClient
from serving.client import Client, ProtocolName, Recommendation, Request
from serving.messages import WireTensor
from serving.server import TritonServer

GOOD = Request("user-2", k=5)


def tensor(name: str, datatype: DataType, shape: tuple[int, ...], content: bytes) -> WireTensor:
    return WireTensor(TensorSpec(name, datatype, (-1,)), shape, content)


def text(name: str, *values: bytes, shape: tuple[int, ...] | None = None) -> WireTensor:
    content = b"".join(struct.pack("<I", len(v)) + v for v in values)
    return tensor(name, DataType.BYTES, shape or (1, len(values)), content)


def numbers(name: str, *values: int, shape: tuple[int, ...] | None = None) -> WireTensor:
    content = struct.pack(f"<{len(values)}i", *values)
    return tensor(name, DataType.INT32, shape or (1, len(values)), content)


USER = text("user_id", b"user-2")
BAD = {
    "k of 0": ([USER, numbers("k", 0)], "k: expected 1 to 100, got 0"),
    "k of 101": ([USER, numbers("k", 101)], "k: expected 1 to 100, got 101"),
    "negative k": ([USER, numbers("k", -(2**31))], "k: expected 1 to 100"),
    "k of 64 bits": ([USER, tensor("k", DataType.INT64, (1, 1), bytes(8))], "k"),
    "k as a fraction": ([USER, tensor("k", DataType.FP32, (1, 1), bytes(4))], "k"),
    "k as text": ([USER, text("k", b"5")], "k"),
    "two k": ([USER, numbers("k", 1, 2)], "k"),
    "no user_id": ([numbers("k", 5)], "user_id"),
    "two user ids in a row": ([text("user_id", b"a", b"b")], "user_id"),
    "user_id without a batch axis": ([text("user_id", b"a", shape=(1,))], "user_id"),
    "user_id as a number": ([numbers("user_id", 7)], "user_id"),
    "empty user_id": ([text("user_id", b"")], "user_id: expected an id"),
    "user_id of 1 MB": (
        [text("user_id", b"x" * 1_000_000)],
        "user_id: expected ids of at most 256",
    ),
    "user_id not UTF-8": ([text("user_id", b"\xff\xfe")], "user_id: expected UTF-8"),
    "only unknown candidates": ([USER, text("candidates", b"x", b"y")], "candidates: none"),
    "10,000 candidates": (
        [USER, text("candidates", *[b"item-1"] * 10_000)],
        "candidates: expected at",
    ),
    "an empty candidate": ([USER, text("candidates", b"item-1", b"")], "candidates: expected ids"),
    "candidate of 1 kB": (
        [USER, text("candidates", b"x" * 1000)],
        "candidates: expected ids of at",
    ),
    "candidates not UTF-8": (
        [USER, text("candidates", b"item-1", b"\xc3")],
        "candidates: expected UTF",
    ),
    "1,001 recent": (
        [USER, text("recent", *[b"item-1"] * (LIMITS.recent + 1))],
        "recent: expected at",
    ),
    "an empty recent": ([USER, text("recent", b"")], "recent: expected ids"),
    "recent not UTF-8": ([USER, text("recent", b"\x80")], "recent: expected UTF-8"),
    "recent of three axes": ([USER, text("recent", b"item-1", shape=(1, 1, 1))], "recent"),
    "rows that differ": ([USER, numbers("k", 1, 2, shape=(2, 1))], "batch"),
    "no rows": ([text("user_id", shape=(0, 1))], ""),
    "too many rows": (
        [text("user_id", *[b"a"] * (MAX_BATCH + 1), shape=(MAX_BATCH + 1, 1))],
        "batch-size must be <= 128",
    ),
    "text shorter than it says": (
        [tensor("user_id", DataType.BYTES, (1, 1), struct.pack("<I", 50) + b"a")],
        "",
    ),
    "text with too many elements": ([text("user_id", b"a", b"b", shape=(1, 1))], ""),
    "an unknown input": ([USER, numbers("colour", 3)], "colour"),
    "an input twice": ([USER, USER], ""),
}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("name", BAD)
async def test_bad_request_does_not_touch_its_batch_mates(
    server: TritonServer, protocol: ProtocolName, name: str
) -> None:
    tensors, sentence = BAD[name]
    address = server.grpc if protocol == "grpc" else server.http
    async with AsyncClient(address, protocol) as client:
        alone = await client.recommend(GOOD)
        wrong = client._transport.infer("recommend", tensors, 10.0)
        answers = await asyncio.gather(
            *(client.recommend(GOOD) for _ in range(8)),
            wrong,
            *(client.recommend(GOOD) for _ in range(8)),
            return_exceptions=True,
        )
    (error,) = [a for a in answers if isinstance(a, BaseException)]
    assert isinstance(error, InvalidRequest), error
    assert sentence in str(error)
    good = [a for a in answers if isinstance(a, Recommendation)]
    assert len(good) == 16
    assert good == [replace(alone, seconds=a.seconds) for a in good]


def test_bad_request_in_the_very_same_batch(server: TritonServer) -> None:
    """Rows of wrong and right requests wait for the same instance, so they share batches."""

    async def ask() -> list[object]:
        async with AsyncClient(server.grpc) as client:
            requests = [Request("user-2", k=1000 if i % 2 else 5) for i in range(200)]
            return await asyncio.gather(
                *(client.recommend(r) for r in requests), return_exceptions=True
            )

    answers = asyncio.run(ask())
    for i, answer in enumerate(answers):
        assert isinstance(answer, InvalidRequest) == bool(i % 2)


def test_empty_lists_count_as_left_out(server: TritonServer) -> None:
    with Client(server.grpc) as client:
        assert client.recommend(Request("user-2", 5, [], [])).items == client.recommend(GOOD).items


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"inputs": 3}', b"\xff" * 100])
def test_body_that_is_no_request_is_refused(server: TritonServer, body: bytes) -> None:
    with closing(http.client.HTTPConnection(server.http, timeout=10)) as connection:
        connection.request("POST", "/v2/models/recommend/infer", body)
        answer = connection.getresponse()
        # Triton's front end itself answers what it cannot parse, with 400 or 500.
        assert answer.status in {400, 500}
        assert json.loads(answer.read())["error"]
    assert server.ready()


def test_unknown_model_is_no_invalid_request(server: TritonServer) -> None:
    with Client(server.grpc, model="recommned") as client, pytest.raises(RequestError) as error:
        client.recommend(GOOD)
    assert "recommned" in str(error.value)


def test_errors_do_not_repeat_what_came_as_an_id(server: TritonServer) -> None:
    secret = "secret" * 1000
    with Client(server.grpc) as client, pytest.raises(InvalidRequest) as error:
        client.recommend(Request(secret))
    assert "secret" not in str(error.value)
    assert "secret" not in server.log.read_text()


async def test_wrong_request_past_the_chain_does_not_touch_others(server: TritonServer) -> None:
    """Who asks a step directly can send it anything."""
    wide = (1, 20)
    wrong = {
        "ranker": [
            numbers("history", *[0] * 10),
            numbers("candidate", *[99_999] * 20),
            tensor("candidate_features", DataType.FP32, (*wide, 7), bytes(560)),
        ],
        "policy": [
            tensor("logit", DataType.FP32, wide, bytes(80)),
            numbers("candidate", *[99_999] * 20),
            tensor("candidate_flags", DataType.UINT8, wide, b"\x01" * 20),
            numbers("top_k", 3),
        ],
        "features": [numbers("k", 3)],
    }
    async with AsyncClient(server.grpc) as client:
        alone = await client.recommend(GOOD)
        for model, tensors in wrong.items():
            answers = await asyncio.gather(
                *(client.recommend(GOOD) for _ in range(8)),
                client._transport.infer(model, tensors, 10.0),
                *(client.recommend(GOOD) for _ in range(8)),
                return_exceptions=True,
            )
            (error,) = [a for a in answers if isinstance(a, BaseException)]
            assert isinstance(error, InvalidRequest), (model, error)
            good = [a for a in answers if isinstance(a, Recommendation)]
            assert good == [replace(alone, seconds=a.seconds) for a in good]
