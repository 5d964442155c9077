"""One contract, LMDB and Redis: each event once, and the state is the log replayed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.redis_server import RedisServer
from tests.triton.tiny import SOURCE
from tests.unit.model_repository.recorded import FEATURES, KEPT, NOW, RECORD, Kind, event, state_of

ROOT = SOURCE.parent
ITEMS = [f"item-{n}" for n in range(6)]
Fresh = Callable[[], Kind]

SENT = st.lists(
    st.builds(
        event,
        event_id=st.integers(0, 12).map(str),  # so few that many come again
        user=st.sampled_from(["u", "v"]),
        item=st.sampled_from(ITEMS),
        at=st.integers(NOW - 5, NOW),
        counts=st.booleans(),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module", params=["lmdb", "redis"])
def fresh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fresh:
    """Makes an empty state."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")

        def of_redis() -> Kind:
            server.command("FLUSHALL")
            return Kind(server.url, lambda u, v: server.command("SET", f"millirank:user:{u}", v))

        return of_redis
    import lmdb

    def of_lmdb() -> Kind:
        folder = tmp_path_factory.mktemp("state")

        def put(user: str, value: bytes) -> None:
            with lmdb.open(str(folder)) as env, env.begin(write=True) as transaction:
                transaction.put(user.encode(), value)

        return Kind(f"lmdb://{folder}", put)

    return of_lmdb


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(SENT, min_size=1, max_size=4))
def test_each_event_once_and_the_state_is_the_log_replayed(
    fresh: Fresh, batches: list[list[Any]]
) -> None:
    kind, seen = fresh(), set[str]()
    answers = kind.append(*batches)
    for batch, stored in zip(batches, answers, strict=True):
        for sent, is_new in zip(batch, stored, strict=True):
            assert is_new == (sent.event_id not in seen)
            seen.add(sent.event_id)
    log = kind.log()
    by_id: dict[str, Any] = {}
    for sent in (sent for batch in batches for sent in batch):
        by_id.setdefault(sent.event_id, sent)
    assert [row["event_id"] for row in log] == list(by_id)
    for row in log:
        assert row == RECORD.row_of(by_id[row["event_id"]].line())
    for user in ("u", "v"):
        own = [by_id[row["event_id"]] for row in log if row["user_id"] == user]
        assert kind.state(ITEMS, user) == state_of(own)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_order_and_repetition_do_not_matter(fresh: Fresh, data: st.DataObject) -> None:
    times = data.draw(st.lists(st.integers(0, 50), min_size=1, max_size=12, unique=True))
    sent = [event(str(at), item=ITEMS[at % 6], at=NOW - at) for at in times]
    again = data.draw(st.permutations(sent * 2))
    cut = data.draw(st.integers(0, len(again)))
    kind = fresh()
    kind.append(again[:cut], again[cut:])
    assert kind.state(ITEMS) == state_of(sent)
    assert len(kind.log()) == len(sent)


def test_the_newest_stay_and_a_late_one_takes_its_place(fresh: Fresh) -> None:
    kind = fresh()
    kept = [(f"old-{n}", NOW - 10_000 + 2 * n) for n in range(KEPT)]
    keys = FEATURES.item_keys([item for item, _ in kept])
    times = np.array([at for _, at in kept], np.int64)
    kind.put("u", FEATURES.stored.pack(("u", keys, times))[1].tobytes())
    late, ancient = event("late", item="late", at=kept[3][1] + 1), event("a", item="a", at=1)
    assert kind.append([late, ancient]) == [[True, True]]
    names = ["late", "a", *(item for item, _ in kept)]
    assert kind.state(names) == state_of([late, ancient], kept)
    assert kind.state(names)[:4] == [*kept[1:4], ("late", late.timestamp)]
    assert [row["event_id"] for row in kind.log()] == ["late", "a"]


def test_what_a_line_says(fresh: Fresh) -> None:
    kind = fresh()
    sent = event("e", "ü", "ï", request_id="r", position=3, release=7, counts=False)
    kind.append([sent, event("f")])
    answered, bare = kind.log()
    assert answered == {
        "user_id": "ü",
        "item_id": "ï",
        "event": "click",
        "timestamp": NOW,
        "event_id": "e",
        "request_id": "r",
        "position": 3,
        "release": 7,
        "received": NOW,
        "score": None,
        "propensity": None,
        "explored": None,
        "cold_start": None,
    }
    assert (bare["request_id"], bare["position"], bare["release"]) == (None, None, None)
    assert kind.state([], "ü") == []


def test_a_line_of_something_else() -> None:
    for line in (b"{}", b"[1, 2]"):
        with pytest.raises(ValueError, match="expected a line of 10 values"):
            RECORD.row_of(line)


def test_known_ids(fresh: Fresh) -> None:
    kind = fresh()
    store = kind.open()
    assert store.known(["a"]) == set()
    assert store.known([]) == set()
    store.append([event("a")])
    assert store.known(["a", "b"]) == {"a"}
    store.close()


def test_a_log_is_read_on_and_its_beginning_removed(fresh: Fresh) -> None:
    kind = fresh()
    kind.append([event(str(n), at=NOW - n) for n in range(5)])
    log = RECORD.open_log(kind.url, Path("/"))
    name = log.identity()
    assert len(name) == 16
    places = [place for place, _ in log.after(log.start)]
    assert places == sorted(places)
    assert [RECORD.row_of(line)["event_id"] for _, line in log.after(places[1])] == ["2", "3", "4"]
    assert log.remove_through(places[2]) == 3
    assert log.remove_through(places[2]) == 0
    log.close()
    state = kind.state(["i"])
    kind.append([event("new", at=NOW + 1), event("4")])
    log = RECORD.open_log(kind.url, Path("/"))
    assert log.identity() == name
    rest = list(log.after(log.start))
    assert [place for place, _ in rest][:2] == places[3:]
    assert [RECORD.row_of(line)["event_id"] for _, line in rest] == ["3", "4", "new"]
    log.close()
    assert kind.state(["i"]) == [*state, ("i", NOW + 1)]


def test_a_log_before_its_first_event(fresh: Fresh) -> None:
    kind = fresh()
    kind.put("u", b"")
    log = RECORD.open_log(kind.url, Path("/"))
    assert log.identity() == ""
    assert list(log.after(log.start)) == []
    assert log.remove_through(log.start) == 0
    log.close()


def test_readers_and_copies_of_users_see_users_only(fresh: Fresh, tmp_path: Path) -> None:
    kind = fresh()
    kind.append([event("a", "u"), event("b", "w")])
    target = f"lmdb://{tmp_path}"
    assert FEATURES.copy_state(kind.url, target, Path("/"), lambda done, total: None) == 2
    assert Kind(target, kind.put).state(["i"], "w") == [("i", NOW)]


def test_two_who_write_the_same_users(fresh: Fresh) -> None:
    """Two processes, as two servers on one store are."""
    kind = fresh()
    program = (
        "import sys; from tests.unit.model_repository.recorded import *\n"
        "store = Kind(sys.argv[1], print).open()\n"
        "sent = [event(f'{n % 30}-{sys.argv[2]}', at=NOW - n) for n in range(40)]\n"
        "print(sum(sum(store.append([e, event('shared')])) for e in sent))\n"
    )
    command = [sys.executable, "-c", program, kind.url]
    running = [
        subprocess.Popen([*command, which], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for which in "ab"
    ]
    counts = [int(process.communicate(timeout=60)[0]) for process in running]
    assert sum(counts) == 61
    log = kind.log()
    assert sorted(row["event_id"] for row in log) == sorted(
        ["shared", *(f"{n}-{which}" for n in range(30) for which in "ab")]
    )
    assert kind.state(["i"]) == sorted({("i", row["timestamp"]) for row in log}, key=lambda p: p[1])


@pytest.mark.parametrize("url", ["", "lmdb://", "file:///x"])
def test_wrong_urls(url: str) -> None:
    with pytest.raises(ValueError, match="expected a user state URL"):
        RECORD.open_store(url, Path("/"), 1, 1)
    with pytest.raises(ValueError, match="expected a user state URL"):
        RECORD.open_log(url, Path("/"))
