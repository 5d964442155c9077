"""Events through a running server: acknowledged, and seen by the very next recommendation."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import millirank
from ensembles.errors import InvalidRequest, RateLimited, ServerUnavailable
from ensembles.profiles import Knobs
from ensembles.record import Recording
from serving.async_client import AsyncClient
from serving.client import Client, Event, ProtocolName, Recommendation, Request
from serving.event_log import event_log
from serving.server import ServerOptions, TritonServer
from tests.redis_server import RedisServer
from tests.triton.conftest import FREE
from tests.triton.tiny import Tiny, make_release


def logged(tiny: Tiny, user: str) -> list[str]:
    """Items of a user's events in the log."""
    with event_log(f"lmdb://{tiny.state}") as log, log.after(log.raw.start) as lines:
        rows = [log.row_of(line) for _, line in lines]
    return [row["item_id"] for row in rows if row["user_id"] == user]


def sees_its_events(address: str, protocol: ProtocolName, user: str) -> bool:
    """A user takes what is recommended first, five times; nothing seen is recommended again."""
    with Client(address, protocol) as client:
        taken: list[str] = []
        for _ in range(5):
            answer = client.recommend(Request(user))
            if set(answer.items) & set(taken):
                return False
            event = Event.answering(answer, user, answer.items[0], "click")
            assert client.record(event).stored
            taken.append(event.item_id)
        answer = client.recommend(Request(user))
    return not set(answer.items) & set(taken)


def test_the_next_recommendation_sees_it(server: TritonServer, tiny: Tiny) -> None:
    """With as many clients as make both processes of each step answer."""
    asked: list[tuple[str, ProtocolName, str]] = [
        (server.grpc, "grpc", f"reader-{n}") if n % 2 else (server.http, "http", f"reader-{n}")
        for n in range(16)
    ]
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda a: sees_its_events(*a), asked))
    assert len(logged(tiny, "reader-3")) == 5


def test_an_event_sent_twice_is_stored_once(server: TritonServer, tiny: Tiny) -> None:
    event = Event("twice", "item-4", "buy", event_id="the-same")
    with Client(server.grpc) as client:
        assert [client.record(event).stored for _ in range(3)] == [True, False, False]
        done = client.record_many([event, Event("twice", "item-5", "view")])
    assert [d.stored for d in done] == [False, True]
    assert logged(tiny, "twice") == ["item-4", "item-5"]


def test_what_is_only_logged_changes_no_answer(server: TritonServer, tiny: Tiny) -> None:
    with Client(server.grpc) as client:
        before = client.recommend(Request("quiet"))
        client.record(Event("quiet", "nobody-knows-this", "buy"))
        client.record(Event("quiet", before.items[0], "skip"))
        after = client.recommend(Request("quiet"))
    assert (after.items, after.scores) == (before.items, before.scores)
    assert logged(tiny, "quiet") == ["nobody-knows-this", before.items[0]]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_bad_request_is_refused_alone(
    server: TritonServer, tiny: Tiny, protocol: ProtocolName
) -> None:
    address = server.grpc if protocol == "grpc" else server.http
    good = [Event(f"mate-{protocol}", "item-1", "click") for _ in range(20)]
    bad = [Event(f"mate-{protocol}", "item-2", "klick"), Event("", "item-2", "click")] * 5

    def send(event: Event) -> str:
        try:
            return str(client.record(event).stored)
        except InvalidRequest as e:
            return str(e)

    with Client(address, protocol) as client, ThreadPoolExecutor(8) as threads:
        said = list(threads.map(send, [*good, *bad]))
        with pytest.raises(InvalidRequest, match="event: expected one of"):
            client.record_many([good[0], bad[0]])
    assert said[:20] == ["True"] * 20
    assert "did you mean 'click'?" in said[20]
    assert "user_id: expected a text" in said[21]
    assert logged(tiny, f"mate-{protocol}") == ["item-1"] * 20


def test_a_user_that_sends_too_many(server: TritonServer) -> None:
    """Ten times 128 are more than two minutes' worth, whenever a minute begins."""
    batch = [("eager", f"item-{n % 40 + 1}", "view") for n in range(128)]
    with Client(server.grpc) as client:

        def send_ten() -> None:
            for _ in range(10):
                client.record_many([Event(*values) for values in batch])

        with pytest.raises(RateLimited, match="at most 600 a minute"):
            send_ten()
        assert client.record(Event("calm", "item-1", "view")).stored


async def test_the_twin_and_the_command(server: TritonServer, tiny: Tiny) -> None:
    async with AsyncClient(server.grpc) as client:
        done = await client.record_many([Event("twin", f"item-{n}", "add") for n in (1, 2)])
    assert [d.stored for d in done] == [True, True]
    command = ["record", "--user", "twin", "--item", "item-3", "--event", "like"]
    command += ["--event-id", "mine", "--server", server.http, "--protocol", "http"]
    for said in ("stored: event mine\n", "was stored already: event mine\n"):
        told = CliRunner().invoke(millirank.cli, command, catch_exceptions=False)
        assert told.stdout == said
    assert logged(tiny, "twin") == ["item-1", "item-2", "item-3"]


def test_events_are_counted(server: TritonServer) -> None:
    with Client(server.grpc) as client:
        client.record(Event("counted", "item-1", "view"))
    connection = http.client.HTTPConnection(server.metrics)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    for name in ("events_stored", "events_refused"):
        assert f'millirank_{name}_total{{release="3"}}' in text
    assert 'millirank_step_seconds_count{release="3",step="record"}' in text


def test_what_nobody_asks_has_no_id_and_makes_no_impression(server: TritonServer) -> None:
    with Client(server.grpc) as client:
        assert client.recommend(Request("user-1")).request_id
        assert client.recommend(Request("user-1"), request_id="").request_id == ""


def assert_shown(url: str, answer: Recommendation) -> None:
    """An answer's items get into the log a moment later, with their places and scores."""
    deadline = time.monotonic() + 20
    rows: list[dict[str, Any]] = []
    while len(rows) < len(answer.items):
        assert time.monotonic() < deadline, "what was shown is not logged"
        with event_log(url) as log, log.after(log.raw.start) as lines:
            rows = [log.row_of(line) for _, line in lines]
        rows = [r for r in rows if r["request_id"] == answer.request_id]
    assert [(r["item_id"], r["position"], r["release"], r["event"]) for r in rows] == [
        (item, place, 3, "impression") for place, item in enumerate(answer.items, start=1)
    ]
    assert [r["score"] for r in rows] == pytest.approx(answer.scores, abs=1e-5)
    assert {r["cold_start"] for r in rows} == {False}


def test_a_server_on_redis(tmp_path: Path) -> None:
    knobs = Knobs(instances=1, state_timeout_ms=1000, record=Recording(impressions=1.0))
    tiny = make_release(tmp_path / "release", 3, knobs, fused=True)
    with RedisServer(tmp_path) as redis:
        options = ServerOptions(ports=FREE, state=redis.url)
        with TritonServer(tiny.repository, options) as server, Client(server.grpc) as client:
            assert sees_its_events(server.grpc, "grpc", "anybody")
            assert_shown(redis.url, client.recommend(Request("anybody", k=3)))
            redis.kill()
            event = Event("anybody", "item-1", "click")
            with pytest.raises(ServerUnavailable, match="Redis cannot be written"):
                client.record(event)
            redis.start()  # it has forgotten all
            assert client.record(event).stored
            assert client.recommend(Request("anybody")).items
