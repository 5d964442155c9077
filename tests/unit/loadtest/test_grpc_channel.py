from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import gevent
import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import LoadTestError, RequestError
from loadtest.grpc_channel import MAX_MESSAGE, Channel
from loadtest.http2 import frames


class Methods(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The official server is the oracle: it takes only what the standards allow."""

    def __init__(self) -> None:
        self.peers: set[str] = set()
        self.methods = {"/s/echo": self.echo, "/s/large": self.large, "/s/refuse": self.refuse}
        self.methods["/s/slow"] = self.slow

    def service(self, details: Any) -> Any:
        method = self.methods.get(details.method)
        return grpc.unary_unary_rpc_method_handler(method) if method else None

    def echo(self, message: bytes, context: Any) -> bytes:
        self.peers.add(context.peer())
        return message

    def large(self, message: bytes, _: Any) -> bytes:
        return bytes(int(message))

    def refuse(self, _: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "k is 1 to 100")
        raise AssertionError

    def slow(self, message: bytes, _: Any) -> bytes:
        gevent.monkey.get_original("time", "sleep")(0.5)
        return message


@pytest.fixture
def methods() -> Methods:
    return Methods()


@pytest.fixture
def server(methods: Methods) -> Iterator[tuple[grpc.Server, int]]:
    server = grpc.server(
        futures.ThreadPoolExecutor(4),
        handlers=[methods],
        options=[("grpc.max_receive_message_length", 10_000_000)],
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield server, port
    server.stop(None).wait()


@pytest.fixture
def channel(server: tuple[grpc.Server, int]) -> Iterator[Channel]:
    channel = Channel("127.0.0.1", server[1])
    yield channel
    channel.close()
    gevent.sleep(0.01)


def test_an_answer_is_the_message(channel: Channel) -> None:
    assert channel.call("/s/echo", b"hello", 5) == b"hello"
    assert channel.call("/s/echo", b"", 5) == b""


def test_greenlets_share_a_connection_and_get_their_own_answers(
    channel: Channel, methods: Methods
) -> None:
    messages = [str(i).encode() for i in range(200)]
    calls = [gevent.spawn(channel.call, "/s/echo", m, 10) for m in messages]
    gevent.joinall(calls)
    assert [call.value for call in calls] == messages
    assert len(methods.peers) == 1


def test_more_than_the_first_window_in_both_directions(channel: Channel) -> None:
    calls = [gevent.spawn(channel.call, "/s/echo", bytes(16_000), 20) for _ in range(50)]
    gevent.joinall(calls)
    assert {call.value for call in calls} == {bytes(16_000)}
    assert channel.call("/s/large", b"3000000", 10) == bytes(3_000_000)


def test_an_error_names_status_and_message(channel: Channel) -> None:
    with pytest.raises(RequestError, match="k is 1 to 100"):
        channel.call("/s/refuse", b"", 5)
    with pytest.raises(RequestError, match="Method not found"):
        channel.call("/s/unknown", b"", 5)
    assert channel.call("/s/echo", b"still there", 5) == b"still there"


def test_no_room_left_waits_for_the_server(channel: Channel) -> None:
    assert channel.call("/s/echo", b"1", 5) == b"1"
    connection = channel._connection
    assert connection is not None
    connection._window = 0
    waiting = gevent.spawn(channel.call, "/s/echo", b"2", 5)
    gevent.sleep(0.05)
    assert not waiting.ready()
    connection._take(8, 0, 0, (1000).to_bytes(4, "big"))
    assert waiting.get(timeout=5) == b"2"
    connection._window = 0
    waiting = gevent.spawn(channel.call, "/s/echo", b"3", 5)
    gevent.sleep(0.05)
    channel.close()
    with pytest.raises(RequestError, match="closed"):
        waiting.get(timeout=2)


def test_a_deadline_ends_the_call_and_no_other(channel: Channel) -> None:
    with pytest.raises(RequestError, match="passed"):
        channel.call("/s/slow", b"", 0.05)
    assert channel.call("/s/echo", b"next", 5) == b"next"


def test_nobody_listens() -> None:
    with pytest.raises(RequestError, match="no answer"):
        Channel("127.0.0.1", 1).call("/s/echo", b"", 5)


def test_a_server_that_ends_fails_calls_in_flight(
    server: tuple[grpc.Server, int], channel: Channel
) -> None:
    call = gevent.spawn(channel.call, "/s/slow", b"", 5)
    gevent.sleep(0.1)
    server[0].stop(None).wait()
    with pytest.raises(RequestError):
        call.get(timeout=5)


def test_the_connection_is_opened_again(channel: Channel) -> None:
    assert channel.call("/s/echo", b"1", 5) == b"1"
    channel.close()
    gevent.sleep(0.01)
    assert channel.call("/s/echo", b"2", 5) == b"2"


@pytest.mark.parametrize("size", [16_379, 16_380, 60_000, 65_530, 65_531, 4_000_000])
def test_a_message_of_many_frames(channel: Channel, size: int) -> None:
    message = (bytes(range(251)) * (size // 251 + 1))[:size]
    assert channel.call("/s/echo", message, 10) == message


def test_pictures_of_many_users(channel: Channel) -> None:
    messages = [bytes([i]) * (10_000 + 1000 * i) for i in range(50)]
    calls = [gevent.spawn(channel.call, "/s/echo", m, 20) for m in messages]
    gevent.joinall(calls)
    assert [call.value for call in calls] == messages


def test_a_message_that_the_server_refuses_half_way(channel: Channel) -> None:
    with pytest.raises(RequestError, match="larger than max"):
        channel.call("/s/echo", bytes(MAX_MESSAGE), 10)
    assert channel.call("/s/echo", bytes(100_000), 5) == bytes(100_000)


def test_a_message_larger_than_a_picture(channel: Channel) -> None:
    with pytest.raises(LoadTestError, match="11,000,000 bytes; got 11,000,001"):
        channel.call("/s/echo", bytes(MAX_MESSAGE + 1), 5)


FRAME = st.tuples(
    st.integers(0, 9), st.integers(0, 255), st.integers(0, 2**31 - 1), st.binary(max_size=70_000)
)


@given(st.lists(FRAME, max_size=5), st.lists(st.integers(1, 70_000), min_size=1, max_size=5))
def test_frames_survive_any_cut(sent: list[tuple[int, int, int, bytes]], cuts: list[int]) -> None:
    content = b"".join(
        struct.pack(">I", len(p))[1:] + struct.pack(">BBI", kind, flags, stream) + p
        for kind, flags, stream, p in sent
    )

    def chunks() -> Iterator[bytes]:
        at = i = 0
        while at < len(content):
            size = cuts[i % len(cuts)]
            i += 1
            yield content[at : at + size]
            at += size
        yield b""

    source = chunks()
    assert list(frames(lambda _: next(source))) == sent
