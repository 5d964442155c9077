"""Ports that are asked for, and free ones."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from ensembles.errors import ServerError
from serving.ports import Ports, listens

HERE = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    with closing(socket.create_server((HERE, 0))) as other:
        yield other.getsockname()[1]


def test_free_ports_are_usable_and_differ() -> None:
    ports = Ports(0, 0, 0).settle(HERE)
    numbers = {ports.http, ports.grpc, ports.metrics}
    assert len(numbers) == 3
    for number in numbers:
        socket.create_server((HERE, number)).close()


def test_wanted_ports_stay() -> None:
    free = Ports(0, 0, 0).settle(HERE)
    assert free.settle(HERE) == free
    assert not free.any_free
    assert Ports(0, free.grpc, 0).settle(HERE).grpc == free.grpc


@pytest.mark.parametrize("role", ["http", "grpc", "metrics"])
def test_taken_port_is_named(taken: int, role: str) -> None:
    with pytest.raises(ServerError, match=rf"port {taken} of {HERE} .* for {role}"):
        Ports(**{"http": 0, "grpc": 0, "metrics": 0} | {role: taken}).settle(HERE)


def test_same_port_twice() -> None:
    free = Ports(0, 0, 0).settle(HERE).http
    with pytest.raises(ServerError, match="not available"):
        Ports(free, free, 0).settle(HERE)


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_address_of_another_machine(host: str) -> None:
    with pytest.raises(ServerError, match=host):
        Ports(0, 0, 0).settle(host)


def test_number_that_is_no_port() -> None:
    with pytest.raises(ServerError, match="port 70000"):
        Ports(70000, 0, 0).settle(HERE)


def test_whether_somebody_listens():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        assert listens(address)
    assert not listens(address)
