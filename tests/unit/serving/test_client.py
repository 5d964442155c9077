"""Clients against servers that fail in every way."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from typing import cast

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from ensembles.errors import (
    DeadlineExceeded,
    InvalidRequest,
    MissingExtra,
    RequestError,
    ServerUnavailable,
    SettingsError,
)
from serving.async_client import AsyncClient
from serving.client import Client, ProtocolName, Recommendation, Request
from tests.unit.serving.fake_servers import FakeGrpc, FakeHttp, FakeServer

Ask = Callable[..., Recommendation]


@pytest.fixture
def grpc_server() -> Iterator[tuple[FakeGrpc, str]]:
    fake = FakeGrpc()
    server = grpc.server(ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield fake, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def http_server() -> Iterator[tuple[FakeHttp, str]]:
    fake = FakeHttp()
    with ThreadingHTTPServer(("127.0.0.1", 0), fake.handler()) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield fake, f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["grpc", "http"])
def served(request: pytest.FixtureRequest) -> tuple[FakeServer, str, ProtocolName]:
    fake, address = request.getfixturevalue(f"{request.param}_server")
    return fake, address, request.param


USER, WITH_PICTURE = Request("u"), Request("u", image=b"picture")


async def sync(
    address: str,
    protocol: ProtocolName,
    seconds: float | None,
    request: Request = USER,
    model: str | None = None,
) -> Recommendation:
    with Client(address, protocol, model=model) as client:
        return client.recommend(request, timeout=seconds)


async def asynchronous(
    address: str,
    protocol: ProtocolName,
    seconds: float | None,
    request: Request = USER,
    model: str | None = None,
) -> Recommendation:
    async with AsyncClient(address, protocol, model=model) as client:
        return await client.recommend(request, timeout=seconds)


kinds = pytest.mark.parametrize("ask", [sync, asynchronous])
AskAny = Callable[..., Awaitable[Recommendation]]
Served = tuple[FakeServer, str, ProtocolName]

FAILURES = {
    "grpc": {
        "INVALID_ARGUMENT": InvalidRequest,
        "RESOURCE_EXHAUSTED": InvalidRequest,
        "DEADLINE_EXCEEDED": DeadlineExceeded,
        "UNAVAILABLE": ServerUnavailable,
        "INTERNAL": RequestError,
    },
    "http": {
        "400": InvalidRequest,
        "503": ServerUnavailable,
        "500": RequestError,
        "404": RequestError,
    },
}


@kinds
async def test_answer(served: Served, ask: AskAny) -> None:
    fake, address, protocol = served
    answer = await ask(address, protocol, None)
    assert (answer.items, answer.scores, answer.release) == (("a",), (1.5,), 4)
    assert answer.seconds > 0
    assert fake.calls == 1


@kinds
async def test_a_picture_decides_which_ensemble_is_asked(served: Served, ask: AskAny) -> None:
    fake, address, protocol = served
    basics = ["user_id", "k", "candidates", "recent"]
    await ask(address, protocol, None)
    assert (fake.model, fake.inputs) == ("recommend", basics)
    await ask(address, protocol, None, WITH_PICTURE)
    assert (fake.model, fake.inputs) == ("recommend_visual", [*basics, "image"])
    await ask(address, protocol, None, WITH_PICTURE, "another")
    assert fake.model == "another"


@kinds
async def test_a_release_without_pictures_says_so(served: Served, ask: AskAny) -> None:
    fake, address, protocol = served
    fake.script = ["NOT_FOUND" if protocol == "grpc" else "404"]
    fake.sentence = "Request for unknown model: 'recommend_visual' is not found"
    with pytest.raises(InvalidRequest, match="this server's release takes no pictures"):
        await ask(address, protocol, None, WITH_PICTURE)
    with pytest.raises(RequestError, match="unknown model") as error:
        await ask(address, protocol, None)
    assert type(error.value) is RequestError
    assert fake.calls == 2


@kinds
@pytest.mark.parametrize("model", ["recommend", "recommend_visual"])
async def test_a_server_that_is_about_to_end_counts_as_gone(
    served: Served, ask: AskAny, model: str
) -> None:
    fake, address, protocol = served
    fake.script = ["NOT_FOUND" if protocol == "grpc" else "404"]
    fake.sentence = f"Request for unknown model: '{model}' has no available versions"
    request = WITH_PICTURE if model == "recommend_visual" else Request("u")
    with pytest.raises(ServerUnavailable, match="no available versions"):
        await ask(address, protocol, None, request)
    fake.script, fake.calls = [*fake.script, "ok"], 0
    assert (await ask(address, protocol, None, request)).items == ("a",)


@kinds
async def test_a_picture_is_read_before_anything_is_sent(served: Served, ask: AskAny) -> None:
    fake, address, protocol = served
    with pytest.raises(InvalidRequest, match="nowhere.jpg cannot be read: No such file"):
        await ask(address, protocol, None, Request("u", image="nowhere.jpg"))
    assert fake.calls == 0


@kinds
async def test_failures_have_classes_and_only_silence_is_asked_again(
    served: Served, ask: AskAny
) -> None:
    fake, address, protocol = served
    for word, kind in FAILURES[protocol].items():
        fake.script, fake.calls = [word], 0
        with pytest.raises(kind, match="^the reason") as error:
            await ask(address, protocol, None)
        assert type(error.value) is kind
        assert fake.calls == (2 if kind is ServerUnavailable else 1)


@kinds
async def test_one_retry_is_enough_for_a_short_outage(served: Served, ask: AskAny) -> None:
    fake, address, protocol = served
    fake.script = ["UNAVAILABLE" if protocol == "grpc" else "503", "ok"]
    assert (await ask(address, protocol, None)).items == ("a",)


@kinds
async def test_connection_that_breaks(http_server: tuple[FakeHttp, str], ask: AskAny) -> None:
    fake, address = http_server
    fake.script = ["vanish", "ok"]
    assert (await ask(address, "http", None)).items == ("a",)
    fake.script, fake.calls = ["vanish"], 0
    with pytest.raises(ServerUnavailable, match="no answer from"):
        await ask(address, "http", None)


@kinds
async def test_deadline(served: Served, ask: AskAny) -> None:
    fake, address, protocol = served
    fake.script = ["slow"]
    start = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        await ask(address, protocol, 0.1)
    assert time.monotonic() - start < 0.9
    assert fake.calls == 1


@kinds
async def test_no_retry_without_time_for_it(served: Served, ask: AskAny) -> None:
    fake, address, protocol = served
    fake.script = ["UNAVAILABLE" if protocol == "grpc" else "503"]
    with pytest.raises(ServerUnavailable):
        await ask(address, protocol, 0.04)
    assert fake.calls == 1
    with pytest.raises(DeadlineExceeded, match="before the request was sent"):
        await ask(address, protocol, 0)


@kinds
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_nobody_listens(ask: AskAny, protocol: ProtocolName) -> None:
    with pytest.raises(ServerUnavailable):
        await ask("127.0.0.1:9", protocol, 2.0)


async def test_protocols_are_known() -> None:
    wrong = cast("ProtocolName", "smtp")
    with pytest.raises(SettingsError, match=r"\['grpc', 'http'\]; got 'smtp'"):
        Client("x", wrong)
    with pytest.raises(SettingsError, match="got 'smtp'"):
        AsyncClient("x", wrong)


async def test_missing_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(MissingExtra, match="tritonclient"):
        Client("x")
    with pytest.raises(MissingExtra, match="aiohttp"):
        AsyncClient("x", "http")


def test_http_connection_is_kept_and_threads_have_their_own(
    http_server: tuple[FakeHttp, str],
) -> None:
    fake, address = http_server
    with Client(address, "http") as client, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.recommend(Request("u")), range(20)))
    assert len(answers) == fake.calls == 20


@pytest.mark.parametrize("reply", [b"", b"{}", b'{"model_version": "1", "outputs": [{}]}'])
def test_reply_of_something_else(reply: bytes) -> None:
    from serving import http_wire

    with pytest.raises(RequestError, match="expected an inference reply"):
        http_wire.contents(reply, None)


def test_error_that_is_no_json() -> None:
    from serving import http_wire

    assert str(http_wire.error(502, b"Bad gateway")) == "Bad gateway"
    assert str(http_wire.error(502, b"")) == "the server answered HTTP status 502"
