"""The two gates: ranking quality lost, and latency gained."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.compress.settings import Compress
from builders.evaluation.retrieved import RetrievedCandidates, retrieved_ranks
from builders.export.verify import Feed, Feeds, feed_of, open_session
from ensembles.contracts import LOGIT

_ROWS = 64
_SAMPLES = 2000


@dataclass(frozen=True)
class QualityChange:
    """NDCG@10 against that of the uncompressed ranker.

    Attributes:
        ndcg10: mean over the users.
        change: relative to the uncompressed ranker, negative for a loss.
        low, high: 95 % interval of ``change``, by a paired bootstrap over users.
    """

    ndcg10: float
    change: float
    low: float
    high: float


@dataclass(frozen=True)
class Timing:
    """Milliseconds of the model before and after, measured in alternation.

    Attributes:
        before_ms, after_ms: median.
        after_p99_ms: 99th percentile.
        gain: share of the time that was taken off; median of the pairs' own.
    """

    before_ms: float
    after_ms: float
    after_p99_ms: float
    gain: float


def graph_logits(
    model: Path, rows: RetrievedCandidates, *, alone: bool = False, table: Path | None = None
) -> NDArray[Any]:
    """Scores by ONNX Runtime: float32 [M, C].

    Args:
        alone: one row at a time, for graphs whose scores depend on the rest of the batch.
        table: where the item table lies, when that is not beside ``model``.
    """
    session = open_session(model, table=table)
    found = np.empty(rows.candidate.shape, np.float32)
    step = 1 if alone else _ROWS
    for start in range(0, len(found), step):
        part = np.arange(start, min(start + step, len(found)))
        (found[part],) = session.run([LOGIT.name], feed_of(session, rows, part))
    return found


def gains(logits: NDArray[np.float32], rows: RetrievedCandidates) -> NDArray[np.float64]:
    """NDCG@10 of each user: float [M], 0 where the target is not among the first ten."""
    ranks = retrieved_ranks(logits, rows)
    return np.where(ranks < 10, 1 / np.log2(ranks + 2), 0.0)


def quality_change(
    before: NDArray[np.float64], after: NDArray[np.float64], seed: int
) -> QualityChange:
    """Compare the same users' NDCG@10 under two models (paired bootstrap, Efron 1979)."""
    base = float(before.mean())
    if base == 0:
        return QualityChange(float(after.mean()), 0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    changes = np.empty(_SAMPLES)
    for n in range(_SAMPLES):
        users = rng.integers(0, len(before), len(before))
        sampled = before[users].mean()
        changes[n] = after[users].mean() / sampled - 1 if sampled else 0.0
    low, high = np.percentile(changes, [2.5, 97.5])
    return QualityChange(
        float(after.mean()), float(after.mean()) / base - 1, float(low), float(high)
    )


def timing(
    before: Path, after: Path, rows: RetrievedCandidates, batch: int, rounds: int, threads: int
) -> Timing:
    """Run both models on the same real rows, see ``alternating``."""
    sessions = open_session(before, threads), open_session(after, threads)

    def feed(session: Any, number: int) -> Feed:
        return feed_of(session, rows, (np.arange(batch) + number * batch) % len(rows.history))

    return alternating(sessions, feed, rounds)


def alternating(sessions: tuple[Any, Any], feed: Feeds, rounds: int) -> Timing:
    """Run two sessions one after the other, in one process.

    Which one goes first changes every round, so that neither always finds a warm cache.

    Args:
        feed: inputs of a session in the round of this number.
    """
    spent = np.zeros((rounds, 2))
    for n in range(-3, rounds):  # The first three warm up; their places are written again.
        feeds = [feed(session, n) for session in sessions]
        for which in (0, 1) if n % 2 else (1, 0):
            spent[n, which] = _milliseconds(sessions[which], feeds[which])
    return Timing(
        before_ms=float(np.median(spent[:, 0])),
        after_ms=float(np.median(spent[:, 1])),
        after_p99_ms=float(np.percentile(spent[:, 1], 99)),
        gain=float(np.median(1 - spent[:, 1] / spent[:, 0])),
    )


def _milliseconds(session: Any, feed: dict[str, NDArray[Any]]) -> float:
    started = time.perf_counter()
    session.run(None, feed)
    return (time.perf_counter() - started) * 1e3


def refusal(
    quality: QualityChange,
    single: Timing,
    serving: Timing,
    settings: Compress,
    max_slowdown: float | None,
    subject: str = "ranker",
) -> str:
    """Why a pass is left out, or an empty string when it holds both gates."""
    if quality.change < -settings.max_quality_loss:
        return (
            f"NDCG@10 falls by {-quality.change:.2%} of the uncompressed {subject}'s, "
            f"more than {settings.max_quality_loss:.2%}"
        )
    least = settings.min_gain if max_slowdown is None else -max_slowdown
    for name, found in (("batch 1", single), (f"batch {settings.batch}", serving)):
        if found.gain < least:
            wanted = (
                f"a gain of {least:.0%} is asked for"
                if least > 0
                else f"{-least:.0%} slower is allowed"
            )
            return (
                f"at {name} it takes {found.after_ms:.2f} ms after {found.before_ms:.2f} ms "
                f"({abs(found.gain):.1%} {'faster' if found.gain > 0 else 'slower'}; {wanted})"
            )
    return ""
