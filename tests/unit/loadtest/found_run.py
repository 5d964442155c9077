"""Runs as a scenario leaves them, with latencies that differ from second to second."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from loadtest.budget import Budget
from loadtest.objective import Objective, judge
from loadtest.record import Quality, RunRecord
from loadtest.report.stored import StoredRun
from loadtest.scenario import Phase, Scenario
from loadtest.step_statistics import ChainTimes, StepTimes

PLAYED = Scenario(
    about="calm, then <b>busy</b>",
    phases=(Phase(seconds=8, rate=100, rate_to=120), Phase(seconds=4, users=3)),
)
STEPS = tuple(
    StepTimes(name, 1000, 1.5, 0.5, 0.1, 0.8, 0.1) for name in ("features", "ranker", "policy")
)
CHAIN = ChainTimes(StepTimes("recommend", 1000, 4.0, 0, 0, 0, 0), STEPS)


def made_run(seed: int = 1, seconds: int = 12, rate: int = 120) -> RunRecord:
    """Latencies around 5 ms; seconds are faster or slower as a whole."""
    rng = np.random.default_rng(seed)
    due = np.arange(seconds * rate) / rate
    mood = rng.normal(0, 0.05, seconds)[due.astype(int)]
    latency = 5 * np.exp(mood + rng.normal(0, 0.3, due.size))
    return RunRecord(
        scenario="mixed",
        loop="open and closed",
        seed=seed,
        seconds=float(seconds),
        due_s=tuple(due.tolist()),
        latency_ms=tuple(latency.tolist()),
        late_p99_ms=1.0,
        errors={},
        generator_share=0.2,
        quality=Quality(100, 0.25, 0.25, 1.0, tuple((rng.random(300) < 0.25).astype(float))),
        memory_mb={"tritonserver 7": (100.0, 100.5)},
        budgets={"recommend": Budget(5.0, 0.3, CHAIN)},
    )


def slower(run: RunRecord, factor: float) -> RunRecord:
    """The same run with every latency so many times as long."""
    return replace(run, latency_ms=tuple(ms * factor for ms in run.latency_ms))


def stored(run: RunRecord, **changes: Any) -> StoredRun:
    """The run as it is kept, judged by a mild objective."""
    wanted = Objective(p99_ms=25, error_share=0)
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return replace(StoredRun(when, 3, PLAYED, wanted, tuple(judge(wanted, run)), run), **changes)
