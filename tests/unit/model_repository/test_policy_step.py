"""The policy against its rule in plain Python."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triton import oracle

SCORE = st.sampled_from([-1e30, -2.5, -0.0, 0.0, 1e-30, 0.5, 0.5, 3.0, 7e20]) | st.floats(
    width=32, allow_nan=False, allow_infinity=False
)
CANDIDATE = st.tuples(st.integers(1, 30), SCORE, st.booleans())
ROW = st.lists(CANDIDATE, max_size=8, unique_by=lambda c: c[0])


def arrays(rows: list[Any], width: int) -> tuple[Any, Any, Any]:
    logit = np.full((len(rows), width), np.float32(99))  # padding must not win
    candidate = np.zeros((len(rows), width), np.int32)
    flags = np.zeros((len(rows), width), np.uint8)
    for place, row in enumerate(rows):
        for column, (item, score, seen) in enumerate(row):
            logit[place, column], candidate[place, column] = score, item
            flags[place, column] = 1 + 2 * seen
    return logit, candidate, flags


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.tuples(ROW, st.integers(1, 12)), min_size=1, max_size=5))
def test_order_follows_the_rule(policy: ModuleType, rows: list[Any]) -> None:
    logit, candidate, flags = arrays([row for row, _ in rows], 9)
    k = np.array([k for _, k in rows], np.int32)
    chosen = policy.choose(logit, candidate, flags, k)
    for place, (row, most) in enumerate(rows):
        scores = {item: float(np.float32(score)) for item, score, _ in row}
        expected = oracle.choose(scores, [item for item, _, seen in row if seen], most)
        used = chosen.used[place]
        assert used == len(expected)
        assert list(zip(chosen.item[place, :used], chosen.score[place, :used], strict=True)) == (
            expected
        )
        assert not chosen.item[place, used:].any()
        assert (chosen.score[place, used:] == policy.LOWEST).all()


@settings(max_examples=50, deadline=None)
@given(row=ROW, seed=st.integers(0, 99))
def test_order_of_candidates_does_not_matter(policy: ModuleType, row: list[Any], seed: int) -> None:
    shuffled = [row[i] for i in np.random.default_rng(seed).permutation(len(row))]
    k = np.array([5, 5], np.int32)
    chosen = policy.choose(*arrays([row, shuffled], 8), k)
    np.testing.assert_array_equal(chosen.item[0], chosen.item[1])


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_stay_finite(policy: ModuleType, score: float) -> None:
    logit, candidate, flags = arrays([[(1, 0.0, False), (2, score, False)]], 2)
    chosen = policy.choose(logit, candidate, flags, np.array([2], np.int32))
    assert np.isfinite(chosen.score).all()
    assert chosen.item.tolist() == [[2, 1] if score == np.inf else [1, 2]]


def request(rows: list[Any], k: list[int], width: int = 8) -> dict[str, Any]:
    logit, candidate, flags = arrays(rows, width)
    top_k = np.array(k, np.int32)[:, None]
    return {"logit": logit, "candidate": candidate, "candidate_flags": flags, "top_k": top_k}


IDS = np.array([b"", *(f"i{n}".encode() for n in range(1, 31))], object)
THREE = [(5, 3.0, False), (6, 2.0, False), (7, 9.0, True)]


def test_slots_follow_the_fullest_row(policy: ModuleType) -> None:
    (got,) = policy.answer([request([THREE, THREE[:1], []], [2, 5, 5])], IDS)
    assert got["item_id"].tolist() == [[b"i5", b"i6"], [b"i5", b""], [b"", b""]]
    assert got["score"].tolist() == [[3.0, 2.0], [3.0, policy.LOWEST], [policy.LOWEST] * 2]
    assert got["score"].dtype == np.float32


def test_seen_candidates_fill_up(policy: ModuleType) -> None:
    (got,) = policy.answer([request([THREE], [3])], IDS)
    assert got["item_id"].tolist() == [[b"i5", b"i6", b"i7"]]


def test_nothing_to_choose_from(policy: ModuleType) -> None:
    (got,) = policy.answer([request([[]], [3])], IDS)
    assert got["item_id"].shape == got["score"].shape == (1, 0)


def test_stacking_changes_nothing(policy: ModuleType) -> None:
    requests = [
        request([THREE], [1]),
        request([THREE, []], [9, 1]),
        request([THREE], [2], width=20),
    ]
    together = policy.answer(requests, IDS)
    for got, one in zip(together, requests, strict=True):
        (alone,) = policy.answer([one], IDS)
        np.testing.assert_array_equal(got["item_id"], alone["item_id"])
        np.testing.assert_array_equal(got["score"], alone["score"])


def test_item_ids(policy: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "item_ids.json"
    file.write_text(json.dumps(["", "a", "ü"]))
    assert policy.load_item_ids(file).tolist() == [b"", b"a", "ü".encode()]
    for content in ("{", '["a"]', '["", 3]', "{}"):
        file.write_text(content)
        with pytest.raises(ValueError, match=r"cannot be read|expected a list"):
            policy.load_item_ids(file)
    file.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        policy.load_item_ids(file)
