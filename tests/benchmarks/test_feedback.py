"""Do three events in one category bring more of it, and how soon?

Each user is tried twice, under two names with the same history: with three events of one category,
and with three of the whole catalogue, to show what any three events do to that category's share.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.evaluation.cold_start import bootstrap
from ensembles.step_code import load_step
from loadtest.traffic import holdout_users
from serving.client import Client, Event, Recommendation, Request
from serving.ports import Ports
from serving.repository import current_release
from serving.server import ServerOptions, TritonServer
from serving.state_copy import copy_with_progress
from tests.benchmarks.after_an_event import Change, change, copy_of_state, show
from tests.redis_server import RedisServer

REPOSITORY = Path(os.environ.get("MILLIRANK_BENCH_FEEDBACK", "."))
ARMS = ("category", "any")
USERS, K, EVENTS, SEED = 100, 10, 3, 1
ENOUGH = 20
"""Unseen items that a category needs to be drawn."""

pytestmark = pytest.mark.skipif(
    "MILLIRANK_BENCH_FEEDBACK" not in os.environ, reason="make bench-feedback"
)


class Catalogue:
    """The release's items and their categories."""

    def __init__(self) -> None:
        folder = REPOSITORY / "features" / str(current_release(REPOSITORY))
        self.code = load_step(folder)
        self.ids: list[str] = json.loads((folder / "tables" / "item_ids.json").read_text())
        has = np.load(folder / "tables" / "categories.npy") > 0
        self.categories = range(has.shape[1])
        self.of = {i: set(np.flatnonzero(row)) for i, row in zip(self.ids, has, strict=True)}
        self.by_key = dict(zip(self.code.item_keys(self.ids).tolist(), self.ids, strict=True))

    def share(self, answer: Recommendation, category: int) -> float:
        return sum(category in self.of[item] for item in answer.items) / len(answer.items)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


def twins(catalogue: Catalogue, folder: Path, users: list[str]) -> dict[str, set[str]]:
    """Write each user's history under two more names; what each has seen."""
    state = catalogue.code.open_state(f"lmdb://{folder}", Path("/"), "1000", None)
    histories = {u: state.read([u.encode()]).events.copy() for u in users}
    state.close()
    catalogue.code.seed(
        folder,
        ((f"{name}-{u}", e["key"], e["timestamp"]) for u, e in histories.items() for name in ARMS),
    )
    return {
        u: {catalogue.by_key[key] for key in e["key"].tolist() if key in catalogue.by_key}
        for u, e in histories.items()
    }


@pytest.mark.parametrize("kind", ["lmdb", "redis"])
def test_three_events(catalogue: Catalogue, tmp_path: Path, kind: str) -> None:
    folder = copy_of_state(REPOSITORY, f"bench-feedback-{kind}")
    users = random.Random(SEED).sample(sorted(set(holdout_users(REPOSITORY))), USERS)
    seen = twins(catalogue, folder, users)
    if kind == "lmdb":
        tried = ask(f"lmdb://{folder}", catalogue, seen)
    else:
        with RedisServer(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as redis:
            copy_with_progress(f"lmdb://{folder}", redis.url)
            tried = ask(redis.url, catalogue, seen)
    shutil.rmtree(folder)
    report(catalogue, tried, kind)


Tried = list[tuple[int, dict[str, Change]]]
"""Of each user: the category, and what happened to its twins."""


def ask(state: str, catalogue: Catalogue, seen: dict[str, set[str]]) -> Tried:
    options = ServerOptions(ports=Ports(0, 0, 0), state=state)
    with TritonServer(REPOSITORY, options) as server, Client(server.grpc) as client:
        for _ in range(200):
            client.recommend(Request("nobody-to-warm-up"))
        return [
            of_user(client, catalogue, user, seen[user], random.Random(f"{SEED}-{user}"))
            for user in seen
        ]


def of_user(
    client: Client, catalogue: Catalogue, user: str, seen: set[str], chance: random.Random
) -> tuple[int, dict[str, Change]]:
    shown = {arm: client.recommend(Request(f"{arm}-{user}", k=K)) for arm in ARMS}
    assert shown["category"].items == shown["any"].items
    # Items that are shown would leave the answer by being taken, whatever the model makes of it.
    unseen = [i for i in catalogue.ids[1:] if i not in seen and i not in shown["any"].items]
    category = drawn_category(catalogue, shown["any"], unseen, chance)
    pools = {"category": [i for i in unseen if category in catalogue.of[i]], "any": unseen}
    return category, {
        arm: change(
            client,
            shown[arm],
            [Event(f"{arm}-{user}", item, "click") for item in chance.sample(pools[arm], EVENTS)],
        )
        for arm in ARMS
    }


def drawn_category(
    catalogue: Catalogue, shown: Recommendation, unseen: list[str], chance: random.Random
) -> int:
    """Any with enough unseen items but the one that most of the answer has."""
    columns = catalogue.categories
    ruling = max(columns, key=lambda c: catalogue.share(shown, c))
    size = {c: sum(c in catalogue.of[item] for item in unseen) for c in columns}
    return chance.choice([c for c in columns if c != ruling and size[c] >= ENOUGH])


def report(catalogue: Catalogue, tried: Tried, kind: str) -> None:
    shares: Any = {
        (arm, when): np.array([catalogue.share(getattr(c[arm], when), g) for g, c in tried])
        for arm in ARMS
        for when in ("before", "after")
    }
    rises = {arm: shares[arm, "after"] - shares[arm, "before"] for arm in ARMS}
    rows = bootstrap(
        {**rises, "one minus the other": rises[ARMS[0]] - rises[ARMS[1]]}, np.arange(USERS)
    )
    print(f"\n{kind}, {USERS} users, {len({g for g, _ in tried})} categories:")
    for row in rows:
        print(f"{row.method}: {row.ndcg10:+.3f} (95 % interval {row.low:+.3f} to {row.high:+.3f})")
    for arm in ARMS:
        way = np.sign(rises[arm]).tolist()
        before, after = (shares[arm, when].mean() for when in ("before", "after"))
        print(
            f"{arm}: share {before:.3f} -> {after:.3f}, "
            f"rose for {way.count(1)}, fell for {way.count(-1)}, the same for {way.count(0)}"
        )
    changes = [c for _, own in tried for c in own.values()]
    print(f"{sum(c.saw for c in changes)} of {len(changes)} answers saw the events", end="")
    show("from the acknowledgement to the changed answer", [c.seconds for c in changes])
    assert all(c.saw for c in changes)
    assert rows[0].low > 0
    assert rows[-1].low > 0
