"""A batch of requests through the feature step, without a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.triton import oracle
from tests.triton.tiny import CANDIDATES, HISTORY, ITEMS, item_ids

PARAMETERS = {
    "k_default": "10",
    "k_max": "100",
    "id_bytes": "20",
    "candidates": "99",
    "recent": "9",
    "visual_weight": "0.25",
    "visual_candidates": "4",
}
EVENTS = {"short": [3, 7], "long": list(range(1, HISTORY + 8)), "all": list(range(1, ITEMS + 1))}


@pytest.fixture(scope="module")
def service(features: ModuleType, tables: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("state")
    keys = features.item_keys(item_ids())
    other = features.item_keys(["of another release"])
    rows = [(user, keys[e], np.arange(len(e))) for user, e in EVENTS.items()]
    mixed = np.concatenate([keys[[5]], other, keys[[6]], other])
    features.seed(folder, [*rows, ("mixed", mixed, np.arange(4))])
    limits = features.Limits.parse(PARAMETERS)
    return features.FeatureService(
        tables, features.state.LmdbState(folder), limits, features.Blend.parse(PARAMETERS)
    )


def request(*users: str, **lists: list[list[str]]) -> dict[str, Any]:
    tensors = {name: np.array(_bytes(rows), object) for name, rows in lists.items()}
    return {"user_id": np.array([[u.encode()] for u in users], object), **tensors}


def _bytes(rows: list[list[str]]) -> list[list[bytes]]:
    return [[value.encode() for value in row] for row in rows]


def answer(service: Any, *requests: dict[str, Any]) -> list[Any]:
    return list(service.answer(requests))


@pytest.mark.parametrize("user", [*EVENTS, "nobody"])
def test_history_and_candidates_of_a_user(service: Any, tables: Any, user: str) -> None:
    (got,) = answer(service, request(user))
    events = EVENTS.get(user, [])
    history = ([0] * HISTORY + events)[-HISTORY:]
    assert got.tensors["history"].tolist() == [history]
    expected = oracle.retrieve(tables, history, events, CANDIDATES)
    assert got.tensors["candidate"].tolist() == [expected]
    assert got.tensors["candidate_flags"].tolist() == [[int(i > 0) for i in expected]]
    assert got.tensors["top_k"].tolist() == [[10]]
    assert got.cold_starts == (user == "nobody")


def test_events_of_other_releases_leave_no_gap(service: Any) -> None:
    (got,) = answer(service, request("mixed"))
    assert got.tensors["history"].tolist() == [[0] * (HISTORY - 2) + [5, 6]]


def test_recent_follows_what_is_stored_and_counts_as_seen(service: Any) -> None:
    (got,) = answer(service, request("short", recent=[["item-9", "unknown", "item-3"]]))
    assert got.tensors["history"].tolist() == [[0] * (HISTORY - 4) + [3, 7, 9, 3]]
    assert not set(got.tensors["candidate"][0].tolist()) & {3, 7, 9}
    assert got.unknown_items == 1


def test_own_candidates_are_kept_in_order_and_flagged(service: Any, tables: Any) -> None:
    given = ["item-3", "item-40", "no such", "item-7", "item-40"]
    (got,) = answer(service, request("short", candidates=[given]))
    assert got.tensors["candidate"].tolist() == [[3, 40, 7] + [0] * (CANDIDATES - 3)]
    assert got.tensors["candidate_flags"].tolist() == [[3, 1, 3] + [0] * (CANDIDATES - 3)]
    features = [oracle.features(tables, [3, 7], item) for item in (3, 40, 7)]
    np.testing.assert_allclose(got.tensors["candidate_features"][0, :3], features, atol=1e-5)
    assert not got.tensors["candidate_features"][0, 3:].any()


def test_more_candidates_get_a_wider_bucket(service: Any) -> None:
    given = [f"item-{i}" for i in range(1, 26)]
    wide, narrow = answer(service, request("short", candidates=[given]), request("short"))
    assert wide.tensors["candidate"].shape == wide.tensors["candidate_flags"].shape == (1, 30)
    assert narrow.tensors["candidate"].shape == (1, CANDIDATES)


def test_rows_with_and_without_candidates(service: Any) -> None:
    given = [[f"item-{i}" for i in range(1, 26)], [""] * 25]
    (got,) = answer(service, request("short", "short", candidates=given))
    (alone,) = answer(service, request("short"))
    retrieved = got.tensors["candidate"][1]
    np.testing.assert_array_equal(retrieved[:CANDIDATES], alone.tensors["candidate"][0])
    assert not retrieved[CANDIDATES:].any()


def test_stacking_changes_nothing(features: ModuleType, service: Any) -> None:
    requests = [
        request("short"),
        request("long", "nobody"),
        request(""),
        request("short", candidates=[[f"item-{i}" for i in range(1, 40)]]),
        request("nobody", recent=[["item-4", "item-4"]]),
        request("x" * 30),
        request("all", "mixed", candidates=[["item-1", "item-2"], ["item-3", ""]]),
    ]
    together = answer(service, *requests)
    for got, one in zip(together, requests, strict=True):
        (alone,) = answer(service, one)
        if isinstance(alone, features.BadRequest):
            assert str(got) == str(alone)
            continue
        for name, tensor in alone.tensors.items():
            np.testing.assert_array_equal(got.tensors[name], tensor)
            assert got.tensors[name].dtype == tensor.dtype
    good = [a.tensors for a in together if not isinstance(a, features.BadRequest)]
    counts = dict(zip(features.COUNTED, service.count(together), strict=True))
    assert counts["rows"] == sum(len(tensors["top_k"]) for tensors in good)
    assert counts["candidates"] == sum((tensors["candidate_flags"] & 1).sum() for tensors in good)
    names = ("cold_starts", "unknown_items", "invalid_requests", "degraded")
    assert [counts[n] for n in names] == [1, 0, 2, 0]


def test_types_are_those_of_the_contract(service: Any) -> None:
    from ensembles.recommend import FEATURES

    (got,) = answer(service, request("short"))
    kinds = {name: tensor.dtype.name for name, tensor in got.tensors.items()}
    names = {"INT32": "int32", "FP32": "float32", "UINT8": "uint8", "BOOL": "bool"}
    assert kinds == {t.name: names[t.datatype] for t in FEATURES.outputs}


def test_looked_up_rows_of_the_item_table(features: ModuleType, service: Any, tables: Any) -> None:
    table = np.random.default_rng(3).random((ITEMS + 1, 4), np.float32)
    with_table = replace(tables, item_vectors=table)
    looking = features.FeatureService(with_table, service.state, service.limits, service.blend)
    requests = [request("short", "nobody"), request("long", candidates=[["item-3"]])]
    for bare, got in zip(answer(service, *requests), answer(looking, *requests), strict=True):
        assert set(got.tensors) - set(bare.tensors) == {"history_vector", "candidate_vector"}
        for name in ("history", "candidate"):
            vectors = got.tensors[f"{name}_vector"]
            np.testing.assert_array_equal(vectors, table[bare.tensors[name]])
            assert vectors.dtype == np.float32
            assert vectors.flags.c_contiguous


def test_one_look_into_the_state_for_a_batch_of_several_widths(
    features: ModuleType, service: Any, tables: Any
) -> None:
    looks: list[list[bytes]] = []

    class Counting:
        def read(self, users: list[bytes]) -> Any:
            looks.append(users)
            return service.state.read(users)

    counting = features.FeatureService(tables, Counting(), service.limits, service.blend)
    wide = [[f"item-{i}" for i in range(1, 40)]]
    requests = [request("short"), request("all", "long", candidates=wide * 2), request("long")]
    for got, one in zip(answer(counting, *requests), requests, strict=True):
        (alone,) = answer(service, one)
        np.testing.assert_array_equal(got.tensors["history"], alone.tensors["history"])
    assert len(looks) == 1
    assert sorted(looks[0]) == [b"all", b"long", b"long", b"short"]


def test_without_the_state_a_user_is_unknown_and_marked(
    features: ModuleType, service: Any, tables: Any
) -> None:
    class Lost:
        def read(self, users: list[bytes]) -> Any:
            return features.stored.nothing(len(users), degraded=True)

    lost = features.FeatureService(tables, Lost(), service.limits, service.blend)
    for carried in ({}, {"recent": [["item-4"]]}, {"candidates": [["item-1", "item-2"]]}):
        (got,) = answer(lost, request("long", **carried))
        (unknown,) = answer(service, request("nobody", **carried))
        assert got.tensors["degraded"].tolist() == [[True]]
        for name in set(got.tensors) - {"degraded"}:
            np.testing.assert_array_equal(got.tensors[name], unknown.tensors[name])
        counts = dict(zip(features.COUNTED, lost.count([got]), strict=True))
        assert counts["degraded"] == counts["rows"] == 1
        assert counts["cold_starts"] == 0  # nobody knows whether it is one


def test_opened_from_a_version_folder(features: ModuleType, tables_folder: Path) -> None:
    # The parent of the tables stands for the version folder.
    service = features.FeatureService.open(
        tables_folder.parent, PARAMETERS, f"lmdb://{tables_folder}/nowhere"
    )
    assert not service.state.there
    (got,) = answer(service, request("short"))
    assert got.cold_starts == 1
