"""How the cost of one request grows: with candidates, history, catalogue, users and batch.

Set MILLIRANK_BENCH_GROWTH, and run pytest with ``-s``; ``make bench-growth`` does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.benchmarks.growth_report import Growth, print_growth, write_plot
from tests.benchmarks.random_chain import make_chain, random_tables, write_ranker, write_state

pytestmark = pytest.mark.skipif(
    not os.environ.get("MILLIRANK_BENCH_GROWTH"), reason="a measurement: make bench-growth"
)
ITEMS, HISTORY, CANDIDATES, USERS = 10_000, 50, 200, 1000
SECONDS = 20.0
"""Of measuring, for each axis."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("growth")


@pytest.fixture(scope="module")
def scorer(root: Path) -> Any:
    return write_ranker(root / "ranker", HISTORY)


@pytest.fixture(scope="module")
def state(root: Path) -> Any:
    return write_state(root / "state", USERS, HISTORY, ITEMS)


@pytest.fixture(scope="module")
def found() -> Iterator[list[Growth]]:
    growths: list[Growth] = []
    yield growths
    if growths:
        print(f"\nplot: {write_plot(growths, Path('build', 'growth.html'))}")


def measure(name: str, runs: dict[int, Callable[[], tuple[float, float, float]]]) -> Growth:
    """Medians of rounds in which the points take turns, after one round that does not count."""
    for run in runs.values():
        run()
    spent: dict[int, list[tuple[float, float, float]]] = {size: [] for size in runs}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(next(iter(spent.values()))) < 20:
        for size, run in runs.items():
            spent[size].append(run())
    growth = Growth(name, {size: np.median(s, axis=0) * 1e6 for size, s in spent.items()})
    print_growth(growth, rounds=len(next(iter(spent.values()))))
    return growth


def test_candidates(state: Any, scorer: Any, found: list[Growth]) -> None:
    rng = np.random.default_rng(1)
    chains = {
        c: make_chain(random_tables(ITEMS, HISTORY, c), state, scorer, USERS)
        for c in (100, 200, 500, 1000, 2000, 5000)
    }
    growth = measure("candidates", {c: lambda m=m: m.time(1, rng) for c, m in chains.items()})
    found.append(growth)
    assert growth.slope < 1.1  # no worse than proportional


def test_history(root: Path, found: list[Growth]) -> None:
    rng, chains = np.random.default_rng(2), {}
    for h in (20, 50, 100, 200, 500):
        scorer = write_ranker(root / f"ranker-{h}", h)
        state = write_state(root / f"history-{h}", 200, h, ITEMS)
        chains[h] = make_chain(random_tables(ITEMS, h, CANDIDATES), state, scorer, 200)
    found.append(measure("history", {h: lambda m=m: m.time(1, rng) for h, m in chains.items()}))


def test_catalogue(root: Path, scorer: Any, found: list[Growth]) -> None:
    """At most logarithmically: as much for each tenfold catalogue, never a share of it."""
    rng, chains = np.random.default_rng(3), {}
    for items in (1000, 10_000, 100_000, 1_000_000):
        state = write_state(root / f"catalogue-{items}", USERS, HISTORY, items)
        tables = random_tables(items, HISTORY, CANDIDATES)
        chains[items] = make_chain(tables, state, scorer, USERS)
    growth = measure("catalogue", {i: lambda m=m: m.time(1, rng) for i, m in chains.items()})
    found.append(growth)
    assert growth.slope < 0.12


def test_users(root: Path, scorer: Any, found: list[Growth]) -> None:
    rng, chains = np.random.default_rng(4), {}
    tables = random_tables(ITEMS, HISTORY, CANDIDATES)
    for users in (1000, 10_000, 100_000, 1_000_000):
        state = write_state(root / f"users-{users}", users, 5, ITEMS)
        chains[users] = make_chain(tables, state, scorer, users)
    growth = measure("users", {u: lambda m=m: m.time(1, rng) for u, m in chains.items()})
    found.append(growth)
    assert growth.slope < 0.03


def test_batch(state: Any, scorer: Any, found: list[Growth]) -> None:
    rng = np.random.default_rng(5)
    chain = make_chain(random_tables(ITEMS, HISTORY, CANDIDATES), state, scorer, USERS)

    def per_request(rows: int) -> tuple[float, float, float]:
        features, ranker, policy = chain.time(rows, rng)
        return features / rows, ranker / rows, policy / rows

    rows = (1, 2, 4, 8, 16, 32, 64, 128)
    growth = measure("batch, per request", {r: lambda r=r: per_request(r) for r in rows})
    found.append(growth)
    assert growth.slope < 0  # stacking pays
