"""The two gates, on figures made by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from builders.compress.gates import (
    QualityChange,
    Timing,
    gains,
    graph_logits,
    quality_change,
    refusal,
    timing,
)
from builders.compress.interface import CompressionData
from builders.compress.settings import Compress
from builders.evaluation.retrieved import RetrievedCandidates

SETTINGS = Compress(max_quality_loss=0.01, min_gain=0.02, batch=16)
SAME = QualityChange(0.5, 0.0, 0.0, 0.0)


def _timing(gain: float) -> Timing:
    return Timing(before_ms=10.0, after_ms=10 * (1 - gain), after_p99_ms=12.0, gain=gain)


def _quality(change: float) -> QualityChange:
    return QualityChange(0.5 * (1 + change), change, change - 0.01, change + 0.01)


def test_a_pass_that_is_faster_and_as_good_is_kept() -> None:
    assert refusal(_quality(-0.01), _timing(0.02), _timing(0.5), SETTINGS, None) == ""


def test_a_pass_that_loses_quality_is_left_out_however_fast() -> None:
    reason = refusal(_quality(-0.0125), _timing(0.9), _timing(0.9), SETTINGS, None)
    assert reason == "NDCG@10 falls by 1.25% of the uncompressed ranker's, more than 1.00%"


@pytest.mark.parametrize(
    ("single", "serving", "named"), [(0.01, 0.5, "batch 1"), (0.5, -0.2, "batch 16")]
)
def test_a_pass_that_is_not_faster_is_left_out(single: float, serving: float, named: str) -> None:
    reason = refusal(SAME, _timing(single), _timing(serving), SETTINGS, None)
    assert named in reason
    assert ("faster" if single > 0 and named == "batch 1" else "slower") in reason
    assert "a gain of 2% is asked for" in reason


def test_a_pass_for_size_may_be_slower_by_as_much_as_it_is_allowed() -> None:
    assert refusal(SAME, _timing(-0.05), _timing(-0.1), SETTINGS, 0.1) == ""
    reason = refusal(SAME, _timing(-0.05), _timing(-0.11), SETTINGS, 0.1)
    assert "batch 16" in reason
    assert "10%" in reason


def _rows(target: list[int]) -> RetrievedCandidates:
    count = len(target)
    candidate = np.tile(np.arange(1, 13, dtype=np.int32), (count, 1))
    return RetrievedCandidates(
        np.zeros((count, 3), np.int32),
        candidate,
        np.zeros((count, 12, 5), np.float32),
        np.array(target, np.int32),
    )


def test_gains_are_those_of_the_target_s_place() -> None:
    logits = np.tile(-np.arange(12, dtype=np.float32), (5, 1))
    found = gains(logits, _rows([1, 2, 10, 11, 99]))
    np.testing.assert_allclose(found, [1, 1 / np.log2(3), 1 / np.log2(11), 0, 0])


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40), st.integers(0, 5))
def test_the_same_figures_are_no_change(users: list[float], seed: int) -> None:
    found = quality_change(np.array(users), np.array(users), seed)
    assert (found.change, found.low, found.high) == (0, 0, 0)


def test_the_same_factor_for_all_users_has_no_interval() -> None:
    users = np.random.default_rng(0).random(50)
    found = quality_change(users, 0.9 * users, seed=0)
    np.testing.assert_allclose([found.change, found.low, found.high], -0.1)
    assert found.ndcg10 == pytest.approx(0.9 * users.mean())


def _pair(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    before = rng.random(200) + 0.1
    return before, before * rng.uniform(0.8, 1.1, 200)


@pytest.mark.parametrize("seed", range(5))
def test_the_interval_holds_the_change_and_comes_again(seed: int) -> None:
    found = quality_change(*_pair(seed), seed)
    assert found.low < found.change < found.high
    assert found == quality_change(*_pair(seed), seed)
    assert found != quality_change(*_pair(seed), seed + 1)


def test_no_user_with_a_hit_is_no_change() -> None:
    none = np.zeros(3)
    assert quality_change(none, none, 0) == QualityChange(0.0, 0.0, 0.0, 0.0)


def test_scores_of_a_graph_alone_and_together(data: CompressionData, teacher_graph: Path) -> None:
    together, alone = (graph_logits(teacher_graph, data.validation, alone=a) for a in (False, True))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_timing_of_more_rows_than_there_are(data: CompressionData, teacher_graph: Path) -> None:
    found = timing(teacher_graph, teacher_graph, data.validation, batch=100, rounds=10, threads=1)
    assert found.before_ms > 0
    assert found.after_p99_ms >= found.after_ms > 0
