"""Exploration: the chances that are logged are those with which items are shown."""

from __future__ import annotations

import itertools
import json
import math
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triton.tiny import CANDIDATES, ITEMS

SHARE, PLACES = 0.25, 3
POOL = [50, 1, 7, 12, 30, 41, 22, 9]
LIMITS = {"k_default": 10, "k_max": 100, "id_bytes": 256, "candidates": 100, "recent": 50}
PARAMETERS = {**LIMITS, "visual_weight": 0.5, "visual_candidates": 4}


def write_plan(folder: Path, share: float = SHARE, pool: Any = POOL, places: int = PLACES) -> None:
    np.save(folder / "explore.npy", np.asarray(pool, np.int32))
    (folder / "explore.json").write_text(json.dumps({"share": share, "candidates": places}))


@pytest.fixture(scope="module")
def exploring(tables_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exploring") / "tables"
    shutil.copytree(tables_folder, folder)
    write_plan(folder)
    return folder


Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def ask(features: ModuleType, policy: ModuleType, exploring: Path, tmp_path: Path) -> Ask:
    """Answers of the joined steps around a ranker that likes low item numbers."""
    version = tmp_path / "features" / "1"
    shutil.copytree(exploring, version / "tables")
    parameters = {name: str(value) for name, value in PARAMETERS.items()}
    service = features.FeatureService.open(version, parameters, f"lmdb://{tmp_path / 'state'}")
    ids = policy.load_item_ids(exploring / "item_ids.json")

    def asked(*requests: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
        tensors = [features.with_seeds(given, name) for name, given in requests]
        found = [a.tensors for a in service.answer(tensors)]
        scored = [{**t, "logit": -t["candidate"].astype(np.float32)} for t in found]
        answers = policy.answer(scored, ids, service.share)
        return [t | a for t, a in zip(found, answers, strict=True)]

    return asked


def request(*recent: int, k: int = 6, **more: Any) -> dict[str, Any]:
    seen = np.array([[f"item-{n}".encode() for n in recent]], object).reshape(1, -1)
    user = np.array([[b"somebody"]], object)
    return {"user_id": user, "k": np.array([[k]], np.int32), "recent": seen, **more}


ROW = st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4))


@settings(max_examples=60, deadline=None)
@given(ROW, st.sampled_from([0.1, 0.5]))
def test_chances_are_those_of_all_that_can_happen(
    policy: ModuleType, row: tuple[int, int, int, int], share: float
) -> None:
    """Every throw of the coins with every draw, each weighed with its own chance."""
    normals, eligible, places, k = row
    draws = list(itertools.permutations(range(11, 11 + eligible), min(places, eligible)))
    throws = list(itertools.product((True, False), repeat=k))
    every = list(itertools.product(throws, draws))
    candidate = np.zeros((len(every), normals + places), np.int32)
    candidate[:, :normals] = np.arange(1, normals + 1)
    candidate[:, normals : normals + len(draws[0])] = [draw for _, draw in every]
    flags = (candidate > 0) + 4 * (candidate > 10)
    slots = min(k, candidate.shape[1])
    coins = np.array([throw[:slots] for throw, _ in every])
    module = sys.modules[policy.explore.__module__]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "uniform", lambda *_: np.where(coins, 0.0, 0.999))
        shown = policy.explore(
            -candidate.astype(np.float32),
            candidate,
            flags.astype(np.uint8),
            np.full(len(every), k, np.int32),
            eligible=np.full(len(every), eligible, np.int32),
            seed=np.zeros(len(every), np.uint64),
            share=share,
        )
    chance: Counter[tuple[int, ...]] = Counter()
    logged: dict[tuple[int, ...], float] = {}
    for place, (throw, _) in enumerate(every):
        used = int(shown.used[place])
        assert used == min(k, normals + len(draws[0]))
        assert not shown.item[place, used:].any()
        outcome = tuple(shown.item[place, :used].tolist())
        assert len(set(outcome)) == used
        assert [i for i in outcome if i < 11] == sorted(i for i in outcome if i < 11)
        assert shown.explored[place, :used].tolist() == [i > 10 for i in outcome]
        chance[outcome] += math.prod(share if t else 1 - share for t in throw) / len(draws)
        logged[outcome] = math.prod(shown.propensity[place, :used].tolist())
    assert chance == pytest.approx(logged, rel=1e-5)
    assert sum(logged.values()) == pytest.approx(1, rel=1e-5)


def test_items_are_shown_as_often_as_the_log_says(ask: Ask) -> None:
    """Over many ids each item at the first two slots, within five standard deviations."""
    count = 3000
    asked = [(f"request-{n}", request(7, 12)) for n in range(count)]
    answers = [a for n in range(0, count, 100) for a in ask(*asked[n : n + 100])]
    eligible = int(answers[0]["eligible"].item())
    assert {a["eligible"].item() for a in answers} == {eligible}
    for slot in (0, 1):
        shown: Counter[bytes] = Counter(
            a["item_id"][0, slot] for a in answers if a["explored"][0, slot]
        )
        assert len(shown) == eligible
        # An item of the second slot: it was not in the first, or the first was not given away.
        chance = SHARE / eligible
        for often in shown.values():
            assert abs(often - count * chance) < 5 * math.sqrt(count * chance)
        logged = [a["propensity"][0, slot] for a in answers if not a["explored"][0, slot]]
        assert logged == pytest.approx([1 - SHARE] * len(logged))
        assert len(logged) == pytest.approx(count * (1 - SHARE), abs=5 * math.sqrt(count) / 2)
        first = [a["propensity"][0, 0] for a in answers if a["explored"][0, 0]]
        assert first == pytest.approx([SHARE / eligible] * len(first))


def test_nothing_seen_and_nothing_twice(ask: Ask) -> None:
    seen = [7, 12, 41, 3]
    for answer in ask(*((f"r{n}", request(*seen, k=20)) for n in range(100))):
        items = [i for i in answer["item_id"][0] if i]
        assert len(set(items)) == len(items)
        assert not {f"item-{n}".encode() for n in seen} & set(items)
        extra = answer["candidate"][answer["candidate_flags"] & 4 > 0].tolist()
        assert set(extra) <= set(POOL) - set(seen)
        assert len(extra) == min(PLACES, int(answer["eligible"].item()))


def test_the_same_id_is_answered_the_same(ask: Ask) -> None:
    alone = [ask((f"r{n}", request(5)))[0] for n in range(20)]
    together = ask(*((f"r{n}", request(5)) for n in range(20)))
    for one, other in zip(alone, together, strict=True):
        for name in ("item_id", "score", "propensity", "explored"):
            np.testing.assert_array_equal(one[name], other[name])
    assert len({a["item_id"].tobytes() for a in alone}) > 5


def test_rows_of_one_request_explore_apart(features: ModuleType) -> None:
    tensors = {"user_id": np.array([[b"u"]] * 50, object)}
    seeds = features.with_seeds(tensors, "r")["seed"]
    assert len(np.unique(seeds)) == 50
    assert not features.with_seeds(tensors, "")["seed"].any()


@pytest.mark.parametrize("kind", ["no id", "own candidates"])
def test_who_does_not_explore_gets_what_it_got(
    ask: Ask, features: ModuleType, policy: ModuleType, tables: Any, tmp_path: Path, kind: str
) -> None:
    own = {"candidates": np.array([[f"item-{n}".encode() for n in range(1, 9)]], object)}
    given = request(5, **(own if kind == "own candidates" else {}))
    (answer,) = ask(("" if kind == "no id" else "r", given))
    limits = features.Limits(**LIMITS)
    state = features.open_state(f"lmdb://{tmp_path / 'none'}", tmp_path, "", None)
    plain = features.FeatureService(tables, state, limits, features.Blend(0.5, 4))
    (found,) = plain.answer([given])
    assert "seed" not in found.tensors
    for name, tensor in found.tensors.items():
        np.testing.assert_array_equal(answer[name], tensor)
    logit = -found.tensors["candidate"].astype(np.float32)
    ids = policy.load_item_ids(tmp_path / "features" / "1" / "tables" / "item_ids.json")
    (expected,) = policy.answer([{**found.tensors, "logit": logit}], ids)
    assert sorted(expected) == ["item_id", "score"]
    for name, tensor in expected.items():
        np.testing.assert_array_equal(answer[name], tensor)
    assert (answer["propensity"] == 1).all()
    assert not answer["explored"].any()


def test_a_pool_of_which_all_is_seen(ask: Ask) -> None:
    (answer,) = ask(("r", request(*[n for n in POOL if n < ITEMS], k=5)))
    assert answer["eligible"].item() <= 1  # item 50 has another name, and may be retrieved
    assert len([i for i in answer["item_id"][0] if i]) == 5


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"share": 1.5}, "expected a share between 0 and 1"),
        ({"places": CANDIDATES}, "and 1 to 19 candidates"),
        ({"pool": [1, 2]}, "at least 3 distinct item numbers"),
        ({"pool": [1, 2, 2, 3]}, "distinct item numbers"),
        ({"pool": [0, 1, 2, 3]}, "from 1 to 50"),
        ({"pool": [1, 2, 3, 51]}, "from 1 to 50"),
        ({"pool": [[1, 2, 3]]}, "found others"),
        ({"pool": []}, "at least 3 distinct"),
    ],
)
def test_a_damaged_table(
    features: ModuleType, exploring: Path, tmp_path: Path, plan: dict[str, Any], message: str
) -> None:
    shutil.copytree(exploring, tmp_path / "tables")
    write_plan(tmp_path / "tables", **plan)
    with pytest.raises(ValueError, match=message):
        features.Tables.load(tmp_path / "tables")


@pytest.mark.parametrize("name", ["explore.npy", "explore.json"])
def test_a_file_that_is_none(
    features: ModuleType, exploring: Path, tmp_path: Path, name: str
) -> None:
    shutil.copytree(exploring, tmp_path / "tables")
    (tmp_path / "tables" / name).write_text("{")
    with pytest.raises(ValueError, match="says of exploration cannot be read"):
        features.Tables.load(tmp_path / "tables")
