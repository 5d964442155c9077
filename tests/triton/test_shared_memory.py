"""Pictures in shared memory, against the real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ensembles.contracts import LIMITS
from ensembles.errors import InvalidRequest, SettingsError
from serving.client import Client, ProtocolName, Request
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton.tiny import make_release
from tests.triton.tiny_visual import picture

SQUARES = np.random.default_rng(1).integers(0, 256, (3, 2, 2, 3), dtype=np.uint8)
BOTH: tuple[ProtocolName, ...] = ("grpc", "http")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    tiny = make_release(tmp_path_factory.mktemp("visual"), release=3, visual=True)
    with TritonServer(tiny.repository, ServerOptions(ports=Ports(0, 0, 0))) as running:
        yield running


def client(server: TritonServer, protocol: ProtocolName, token: str = "") -> Client:
    address = server.grpc if protocol == "grpc" else server.http
    return Client(address, protocol, shared_memory=True, token=token or server.token)


def regions() -> set[Path]:
    return set(Path("/dev/shm").glob("millirank-*"))


@pytest.mark.parametrize("protocol", BOTH)
def test_answers_are_those_of_pictures_sent_along(
    server: TritonServer, protocol: ProtocolName
) -> None:
    before = regions()
    requests = [Request(f"user-{i}", image=picture(s)) for i, s in enumerate(SQUARES)]
    plain = Client(server.grpc if protocol == "grpc" else server.http, protocol)
    with client(server, protocol) as shared, plain:
        for request in [*requests, replace(requests[0], image=None)]:
            assert shared.recommend(request).items == plain.recommend(request).items
        together = [answer.scores for answer in plain.recommend_many(requests)]
        assert [answer.scores for answer in shared.recommend_many(requests)] == together
        (made,) = regions() - before  # one request at a time: one region
        assert made.stat().st_mode & 0o077 == 0
    assert regions() == before


@pytest.mark.parametrize("protocol", BOTH)
def test_a_wrong_picture_is_answered_and_the_region_used_again(
    server: TritonServer, protocol: ProtocolName
) -> None:
    before = regions()
    with client(server, protocol) as shared:
        for _ in range(2):
            with pytest.raises(InvalidRequest, match="image"):
                shared.recommend(Request("u", image=b"\xff\xd8\xff no picture"))
        shared.recommend(Request("u", image=picture(SQUARES[0])))
        assert len(regions() - before) == 1


def test_more_than_a_region_holds_is_sent_along(server: TritonServer) -> None:
    before = regions()
    large = picture(SQUARES[0]) + bytes(LIMITS.image_bytes // 2)
    with client(server, "grpc") as shared:
        shared.recommend_many([Request("u", image=large)] * 3, timeout=30)
        assert regions() == before


@pytest.mark.parametrize("protocol", BOTH)
def test_another_token(server: TritonServer, protocol: ProtocolName) -> None:
    before = regions()
    with (
        client(server, protocol, "wrong") as shared,
        pytest.raises(SettingsError, match="another control token"),
    ):
        shared.recommend(Request("u", image=picture(SQUARES[0])))
    assert regions() == before


@pytest.mark.parametrize("protocol", BOTH)
def test_a_server_that_does_not_see_the_memory(
    server: TritonServer, protocol: ProtocolName, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on another machine: the region's name is one that the server cannot open.
    with client(server, protocol) as shared:
        inner = shared._transport._inner  # type: ignore[attr-defined]
        register = inner.register
        monkeypatch.setattr(inner, "register", lambda name, *rest: register(f"not-{name}", *rest))
        with pytest.raises(SettingsError, match="another machine"):
            shared.recommend(Request("u", image=picture(SQUARES[0])))


@pytest.mark.parametrize("protocol", BOTH)
def test_a_server_that_was_started_again(server: TritonServer, protocol: ProtocolName) -> None:
    with client(server, protocol) as shared:
        request = Request("u", image=picture(SQUARES[0]))
        answer = shared.recommend(request)
        transport = shared._transport
        # What a new server knows of the region: nothing.
        transport._inner.unregister(transport._all[0].name, server.token)  # type: ignore[attr-defined]
        assert shared.recommend(request).items == answer.items


def test_without_a_token() -> None:
    with pytest.raises(SettingsError, match="--token-file"):
        Client("127.0.0.1:1", shared_memory=True)
