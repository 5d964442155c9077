"""One client, several servers behind one name of gRPC."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2_grpc

from serving.async_client import AsyncClient
from serving.client import Client, Request
from tests.unit.serving.fake_servers import FakeGrpc


class Named(FakeGrpc):
    """Knows which connections it was asked over."""

    def __init__(self) -> None:
        super().__init__()
        self.peers: set[str] = set()

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.peers.add(context.peer())
        return super().ModelInfer(request, context)


class Running:
    def __init__(self, port: int = 0, age_ms: int = 0) -> None:
        self.fake = Named()
        options = [("grpc.so_reuseport", 0)]
        options += [("grpc.max_connection_age_ms", age_ms)] if age_ms else []
        self.server = grpc.server(ThreadPoolExecutor(2), options=options)
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(self.fake, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def stop(self) -> None:
        self.server.stop(None).wait()


@pytest.fixture
def two() -> Iterator[list[Running]]:
    servers = [Running(), Running()]
    yield servers
    for server in servers:
        server.stop()


def name(servers: list[Running]) -> str:
    return "ipv4:" + ",".join(f"127.0.0.1:{server.port}" for server in servers)


def calls_in_turn(client: Client, servers: list[Running]) -> None:
    """Ask until every server has been asked; connections come one after the other."""
    for _ in range(1000):
        client.recommend(Request("u"))
        if all(server.fake.calls for server in servers):
            return
    raise AssertionError([server.fake.calls for server in servers])


def test_both_are_asked_and_the_one_that_is_left_gets_all(two: list[Running]) -> None:
    """Every call is answered: the one retry covers what was on its way."""
    with Client(name(two)) as client:
        calls_in_turn(client, two)
        before = [server.fake.calls for server in two]
        for _ in range(20):
            client.recommend(Request("u"))
        assert [s.fake.calls - b for s, b in zip(two, before, strict=True)] == [10, 10]
        two[0].stop()
        two[1].fake.calls = 0
        for _ in range(50):
            assert client.recommend(Request("u")).items == ("a",)
        assert two[1].fake.calls == 50


def test_a_server_that_comes_back_is_asked_again(two: list[Running]) -> None:
    with Client(name(two)) as client:
        calls_in_turn(client, two)
        two[0].stop()
        client.recommend(Request("u"))
        two[0] = Running(two[0].port)
        for _ in range(500):
            client.recommend(Request("u"))
            if two[0].fake.calls:
                break
            time.sleep(0.02)
        assert two[0].fake.calls


async def test_the_twin_for_asyncio_does_the_same(two: list[Running]) -> None:
    async with AsyncClient(name(two)) as client:
        for _ in range(1000):
            await client.recommend(Request("u"))
            if all(server.fake.calls for server in two):
                break
        two[0].stop()
        for _ in range(20):
            await client.recommend(Request("u"))
    assert two[1].fake.calls >= 20


def test_a_name_that_is_looked_up() -> None:
    """As that of a headless service is; one address where there is one."""
    server = Running()
    with Client(f"dns:///localhost:{server.port}") as client:
        assert client.recommend(Request("u")).items == ("a",)
    server.stop()


def test_a_connection_that_is_renewed_fails_no_request() -> None:
    server, asked = Running(age_ms=50), 0
    with Client(f"127.0.0.1:{server.port}") as client:
        while len(server.fake.peers) < 4 and asked < 20_000:
            client.recommend(Request("u"))
            asked += 1
    server.stop()
    assert (len(server.fake.peers), server.fake.calls) == (4, asked)


def test_one_address_is_connected_to_when_asked() -> None:
    """A plain address waits for its one server instead of failing at once."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    with Client(f"127.0.0.1:{port}", timeout=5) as client:
        server = Running(port)
        assert client.recommend(Request("u")).items == ("a",)
        server.stop()
