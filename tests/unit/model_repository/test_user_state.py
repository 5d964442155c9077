"""Users' events are kept, merged and read back: one contract, LMDB and Redis."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.redis_server import RedisServer

EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=30)
Pairs = list[tuple[int, int]]


def packed(features: ModuleType, user: str, pairs: Pairs) -> Any:
    keys, times = zip(*pairs, strict=True) if pairs else ((), ())
    return features.stored.pack((user, np.array(keys, np.uint64), np.array(times, np.int64)))


class Store:
    """A user state of one kind, named by a URL."""

    def __init__(self, features: ModuleType, url: str, put: Callable[[str, bytes], object]) -> None:
        self.features, self.url, self.put = features, url, put

    def write(self, **users: Pairs) -> None:
        with self.features.state._users(self.url, Path("/"), create=True) as state:
            state.merge([packed(self.features, user, pairs) for user, pairs in users.items()])

    def read(self, *users: str) -> tuple[list[Pairs], list[bool]]:
        state = self.features.open_state(self.url, Path("/"), "1000", None)
        found = state.read([u.encode() for u in users])
        state.close()
        parts = np.split(found.events, np.cumsum(found.counts)[:-1])
        return [[(int(k), int(t)) for k, t in part.tolist()] for part in parts], [
            bool(d) for d in found.degraded
        ]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module", params=["lmdb", "redis"])
def fresh(
    request: pytest.FixtureRequest, features: ModuleType, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Store]:
    """Makes an empty state."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")

        def of_redis() -> Store:
            server.command("FLUSHALL")
            return Store(
                features, server.url, lambda u, v: server.command("SET", f"millirank:user:{u}", v)
            )

        return of_redis
    import lmdb

    def of_lmdb() -> Store:
        folder = tmp_path_factory.mktemp("state")

        def put(user: str, value: bytes) -> None:
            with lmdb.open(str(folder)) as env, env.begin(write=True) as transaction:
                transaction.put(user.encode(), value)

        return Store(features, f"lmdb://{folder}", put)

    return of_lmdb


def test_what_is_written_is_read(fresh: Callable[[], Store]) -> None:
    store = fresh()
    written = {"a": [(1, 10), (2, 20)], "ü": [(3, 5)], "z": []}
    store.write(**written)
    answer, degraded = store.read("ü", "nobody", "a", "z", "a")
    assert answer == [[(3, 5)], [], written["a"], [], written["a"]]
    assert not any(degraded)


@settings(max_examples=25, deadline=None)
@given(first=EVENTS, second=EVENTS)
def test_merging_is_a_union_and_idempotent(
    fresh: Callable[[], Store], first: Pairs, second: Pairs
) -> None:
    store = fresh()
    for pairs in (first, second, second, first):
        store.write(u=pairs)
    assert store.read("u")[0] == [sorted(dict.fromkeys([*first, *second]), key=lambda e: e[1])]


def test_a_user_may_come_twice_in_one_batch(features: ModuleType, fresh: Any) -> None:
    store = fresh()
    with features.state._users(store.url, Path("/"), create=True) as state:
        state.merge([packed(features, "u", [(1, 1)]), packed(features, "u", [(2, 2)])])
    assert store.read("u")[0] == [[(1, 1), (2, 2)]]


def test_events_of_the_same_time_keep_their_order(fresh: Callable[[], Store]) -> None:
    store = fresh()
    for _ in range(2):
        store.write(u=[(9, 1), (3, 1), (5, 1)])
    assert store.read("u")[0] == [[(9, 1), (3, 1), (5, 1)]]


def test_the_newest_events_are_kept(fresh: Callable[[], Store]) -> None:
    store = fresh()
    store.write(u=[(i, i) for i in range(1500)])
    assert store.read("u")[0] == [[(i, i) for i in range(500, 1500)]]


def test_ids_that_cannot_be_keys_are_unknown(fresh: Callable[[], Store]) -> None:
    store = fresh()
    store.write(u=[(1, 1)])
    assert store.read("", "x" * 600, "u") == ([[], [], [(1, 1)]], [False, False, False])


def test_a_value_that_is_cut_off_harms_its_own_user_only(fresh: Callable[[], Store]) -> None:
    store = fresh()
    store.write(a=[(1, 1)], b=[(2, 2)], c=[(3, 3)])
    store.put("b", b"cut off")
    assert store.read("a", "b", "c") == ([[(1, 1)], [], [(3, 3)]], [False, True, False])
    store.write(b=[(4, 4)])  # and the next event replaces it
    assert store.read("a", "b", "c") == ([[(1, 1)], [(4, 4)], [(3, 3)]], [False] * 3)


def test_all_users_are_gone_through(features: ModuleType, fresh: Callable[[], Store]) -> None:
    store = fresh()
    store.write(**{f"user-{n}": [(n, n)] for n in range(250)})
    store.put("broken", b"cut off")
    with features.state._users(store.url, Path("/"), create=False) as state:
        found = {user.decode(): events["timestamp"].tolist() for user, events in state.all()}
        assert state.count() == 251
    assert found == {**{f"user-{n}": [n] for n in range(250)}, "broken": []}


@pytest.mark.parametrize("there_and_back", [False, True])
def test_a_state_is_copied(
    features: ModuleType,
    fresh: Callable[[], Store],
    redis: RedisServer,
    tmp_path: Path,
    *,
    there_and_back: bool,
) -> None:
    redis.command("FLUSHALL")
    folder = f"lmdb://{tmp_path}/state"
    rows = [(f"user-{n}", np.arange(n % 7, dtype=np.uint64), np.arange(n % 7)) for n in range(2500)]
    features.seed(tmp_path / "state", rows)
    target, source = redis.url, folder
    steps: list[tuple[int, int]] = []
    for _ in range(2):
        done = features.copy_state(source, target, Path("/"), lambda *s: steps.append(s))
        assert done == 2500
    assert steps[-1] == (2500, 2500)
    assert [s for s, _ in steps] == sorted(itertools.islice((s for s, _ in steps), 25)) * 2
    if there_and_back:
        source, target = redis.url, f"lmdb://{tmp_path}/other"
        features.copy_state(source, target, Path("/"), lambda *_: None)
    read = Store(features, target, lambda *_: None).read("user-2498", "user-6", "user-2500")
    assert read[0] == [[(i, i) for i in range(2498 % 7)], [(i, i) for i in range(6)], []]


def test_copies_that_make_no_sense(features: ModuleType, tmp_path: Path) -> None:
    def ignore(*_: int) -> None:
        pass

    with pytest.raises(ValueError, match="got 'lmdb:///x' twice"):
        features.copy_state("lmdb:///x", "lmdb:///x", Path("/"), ignore)
    with pytest.raises(ValueError, match="cannot be read"):
        features.copy_state(f"lmdb://{tmp_path}/none", "lmdb:///x", Path("/"), ignore)
    features.seed(tmp_path / "some", [])
    with pytest.raises(ValueError, match="Redis does not answer"):
        features.copy_state(f"lmdb://{tmp_path}/some", "redis://127.0.0.1:1/0", Path("/"), ignore)


def test_urls(features: ModuleType, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    folder_of = features.lmdb_state.folder_of
    assert folder_of("lmdb:///var/x", repository) == Path("/var/x")
    assert folder_of("lmdb://../state", repository) == tmp_path.resolve() / "state"
    for url in ("http://host", "lmdb://", "", "/var/x"):
        with pytest.raises(ValueError, match="expected a user state URL"):
            features.open_state(url, repository, "20", None)
