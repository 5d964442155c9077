"""Two servers that share a Redis: what one has acknowledged, the other's next answer knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.client import Client, Event, Request
from tests.triton.kept import Before
from tests.triton.pair import Pair, pair_in
from tests.unit.model_repository.recorded import Kind

READERS, EVENTS, THREADS = 24, 5, 8
SHARED = ["shared-0", "shared-1", "shared-2"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair_in(tmp_path_factory.mktemp("pair")) as running:
        yield running


def test_every_next_request_sees_it(pair: Pair) -> None:
    """Each of many users takes what comes first; servers change their roles with every event."""
    addresses = [server.grpc for server in pair.servers]

    def seen(reader: int) -> int:
        user, taken, count = f"reader-{reader}", set[str](), 0
        with Client(addresses[0]) as first, Client(addresses[1]) as second:
            writer, other = (first, second) if reader % 2 else (second, first)
            shown = writer.recommend(Request(user))
            for _ in range(EVENTS):
                event = Event.answering(shown, user, shown.items[0], "click")
                assert writer.record(event).stored
                taken.add(event.item_id)
                after = other.recommend(Request(user))
                gone = not taken & set(after.items) and not after.degraded
                count += gone and after.scores != shown.scores
                shown, writer, other = after, other, writer
        return count

    with ThreadPoolExecutor(THREADS) as threads:
        assert sum(threads.map(seen, range(READERS))) == READERS * EVENTS


def test_users_that_both_servers_write(pair: Pair) -> None:
    """Threads write the same three users through both servers; each asks the other one."""
    kind = Kind(pair.redis.url, lambda user, value: None)
    before = Before(kind, pair.tiny.item_ids[1:], SHARED)
    addresses = [server.grpc for server in pair.servers]

    def write(thread: int) -> list[tuple[Event, bool]]:
        mine = [f"item-{thread * 4 + n + 1}" for n in range(4)]
        events = [Event(user, item, "click") for item in mine for user in SHARED]
        with Client(addresses[thread % 2]) as writer, Client(addresses[1 - thread % 2]) as other:
            found = []
            for event in events:
                assert writer.record(event).stored
                after = other.recommend(Request(event.user_id))
                found.append((event, event.item_id not in after.items and not after.degraded))
        return found

    with ThreadPoolExecutor(THREADS) as threads:
        written = [pair for own in threads.map(write, range(THREADS)) for pair in own]
    assert Counter(saw for _, saw in written) == {True: THREADS * 4 * len(SHARED)}
    with Client(addresses[0]) as client:
        repeated = client.record_many([event for event, _ in written[:100]])
    assert not any(done.stored for done in repeated)
    before.assert_kept(event.event_id for event, _ in written)
