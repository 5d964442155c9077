"""Windows of HTTP/2, against a peer that counts: it takes what it allowed, and not a byte more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest

from ensembles.errors import RequestError
from loadtest import http2 as h
from loadtest.grpc_channel import Channel
from tests.unit.loadtest.http2_peer import Peer

Connect = Callable[[Peer], Channel]


@pytest.fixture
def connect() -> Iterator[Connect]:
    opened: list[Channel | Peer] = []

    def to(peer: Peer) -> Channel:
        channel = Channel("127.0.0.1", peer.port)
        opened.extend((channel, peer))
        assert channel.call("/s/echo", b"", 5) == b""  # the settings are known from here on
        peer.order.clear()
        return channel

    yield to
    for each in opened:
        each.close()
    gevent.sleep(0.01)


@pytest.mark.parametrize(
    ("first_window", "frame_size", "grant", "sizes"),
    [
        (1, 16_384, 1, [0, 1, 300, 2, 40]),
        (0, 16_384, 7, [1000, 1, 500]),
        (20, 16_777_215, 100_000, [0, 5, 300_000, 30_000]),
        (200_000, 20_000, 1000, [150_000, 70_000, 15]),
        (65_535, 16_384, 65_535, [1_000_000] * 3),
        (2**31 - 1, 16_777_215, 2**30, [2_000_000, 3]),
    ],
)
def test_no_byte_more_than_the_peer_has_room_for(
    connect: Connect, first_window: int, frame_size: int, grant: int, sizes: list[int]
) -> None:
    peer = Peer(first_window, frame_size, grant)
    channel = connect(peer)
    if not first_window:
        grant_to_all = gevent.spawn(_grant_for_ever, peer)
    messages = [bytes([65 + i]) * size for i, size in enumerate(sizes)]
    calls = [gevent.spawn(channel.call, "/s/echo", m, 10) for m in messages]
    gevent.joinall(calls)
    if not first_window:
        grant_to_all.kill()
    assert [call.value for call in calls] == messages
    assert peer.violations == []


def _grant_for_ever(peer: Peer) -> None:
    """Streams that begin with no room never use any up, so it comes by itself."""
    while True:
        for stream in list(peer.messages):
            peer.make_room(stream, peer.grant)
        gevent.sleep(0.001)


def test_a_smaller_window_counts_for_what_was_sent_already(connect: Connect) -> None:
    peer = Peer(grant=0)
    channel = connect(peer)
    call = gevent.spawn(channel.call, "/s/echo", bytes(50_000), 5)
    other = gevent.spawn(channel.call, "/s/echo", bytes(40_000), 5)
    peer.wait_for(lambda: sum(map(len, peer.messages.values())) == h.FIRST_WINDOW)
    # The server has had about 32,000 bytes of each stream, and now wants 10,000 of each at most.
    peer.first_window = 10_000
    setting = h.INITIAL_WINDOW_SIZE.to_bytes(2, "big") + (10_000).to_bytes(4, "big")
    peer.send(h.frame(h.SETTINGS, 0, 0, setting))
    peer.make_room(0, 1_000_000)
    peer.wait_for(lambda: max(peer.windows[stream] for stream in (3, 5)) < 0)
    gevent.sleep(0.02)
    assert sum(map(len, peer.messages.values())) == h.FIRST_WINDOW
    for stream in (3, 5):
        peer.make_room(stream, 50_000)
    gevent.joinall([call, other])
    assert (call.value, other.value) == (bytes(50_000), bytes(40_000))
    assert peer.violations == []


def test_a_large_message_waits_and_others_pass_it(connect: Connect) -> None:
    peer = Peer(first_window=1000, grant=0)
    channel = connect(peer)
    large = gevent.spawn(channel.call, "/s/echo", bytes(5000), 10)
    peer.wait_for(lambda: 3 in peer.messages)
    for i in range(20):
        assert channel.call("/s/echo", bytes([i]), 2) == bytes([i])
    assert not large.ready()
    peer.make_room(3, 10_000)
    assert large.get(timeout=5) == bytes(5000)


def test_large_messages_take_turns(connect: Connect) -> None:
    peer = Peer(first_window=2**31 - 1, grant=16_384)
    channel = connect(peer)
    large = [gevent.spawn(channel.call, "/s/echo", bytes(1_000_000), 10) for _ in range(2)]
    gevent.sleep(0)
    small = gevent.spawn(channel.call, "/s/echo", bytes(30_000), 10)
    gevent.joinall([*large, small])
    assert all(call.successful() for call in (*large, small))
    assert peer.order.count(3) == peer.order.count(5) >= 61
    # The small one was through after a few frames of the others; and those kept in step.
    assert max(i for i, stream in enumerate(peer.order) if stream == 7) < 20
    leads = [peer.order[:i].count(3) - peer.order[:i].count(5) for i in range(len(peer.order))]
    assert max(map(abs, leads)) <= 2


def test_a_deadline_ends_a_message_half_way_and_no_other(connect: Connect) -> None:
    peer = Peer(first_window=1000, grant=0)
    channel = connect(peer)
    with pytest.raises(RequestError, match="passed"):
        channel.call("/s/echo", bytes(5000), 0.3)
    assert channel.call("/s/echo", b"next", 5) == b"next"
    assert peer.reset == {3: h.CANCEL}
    assert len(peer.messages[3]) == 1000
    peer.make_room(3, 10_000)  # crossed with the end of the call
    assert channel.call("/s/echo", b"one more", 5) == b"one more"
    assert len(peer.messages[3]) == 1000
    assert peer.violations == []


def test_a_stream_that_the_server_ended_gets_nothing_more(connect: Connect) -> None:
    peer = Peer(first_window=1000, grant=0)
    channel = connect(peer)
    call = gevent.spawn(channel.call, "/s/echo", bytes(5000), 5)
    peer.wait_for(lambda: len(peer.messages.get(3, b"")) == 1000)
    peer.send(h.frame(h.RST_STREAM, 0, 3, (11).to_bytes(4, "big")))
    with pytest.raises(RequestError, match="HTTP/2 error 11"):
        call.get(timeout=5)
    assert channel.call("/s/echo", b"next", 5) == b"next"
    assert peer.reset == {}
    assert len(peer.messages[3]) == 1000


def test_a_server_that_goes_away_fails_calls_that_wait_for_room(connect: Connect) -> None:
    peer = Peer(first_window=1000, grant=0)
    channel = connect(peer)
    call = gevent.spawn(channel.call, "/s/echo", bytes(5000), 5)
    peer.wait_for(lambda: 3 in peer.messages)
    peer.send(h.frame(h.GOAWAY, 0, 0, bytes(8) + b"out of memory"))
    with pytest.raises(RequestError, match="out of memory"):
        call.get(timeout=5)


def test_a_ping_is_answered_while_a_message_waits(connect: Connect) -> None:
    peer = Peer(first_window=1000, grant=0)
    channel = connect(peer)
    call = gevent.spawn(channel.call, "/s/echo", bytes(5000), 5)
    peer.wait_for(lambda: 3 in peer.messages)
    peer.send(h.frame(h.PING, 0, 0, b"12345678"))
    peer.wait_for(lambda: peer.pings == [b"12345678"])
    peer.make_room(3, 10_000)
    assert call.get(timeout=5) == bytes(5000)
