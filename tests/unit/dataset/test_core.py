"""The k-core is the fixed point, every row is accounted for, and nothing left is a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import builders.dataset.clean as cleaning
from builders.dataset.build import REJECTS, build_dataset
from ensembles.errors import BuildError, DataError
from tests.unit.dataset.conftest import LOOSE, block, events, settings_for, silent

Write = Callable[..., Path]


def _reasons(out: Path) -> Counter[str]:
    return Counter(pq.read_table(out / REJECTS)["reason"].to_pylist())


def test_the_core_is_a_fixed_point(tmp_path: Path, write_csv: Write) -> None:
    # A chain: each round of the rules makes the next user and item too small.
    chain = [(f"c{n}", f"d{n + step}", n) for n in range(6) for step in (0, 1)]
    path = write_csv([*block(), *chain])
    clean = {"min_user_events": 2, "min_item_events": 2}
    build_dataset(settings_for(path, clean=clean), tmp_path / "out", silent)
    reasons = _reasons(tmp_path / "out")
    assert sum(reasons.values()) == len(chain)
    assert set(reasons) == {"item with fewer than 2 events", "user with fewer than 2 events"}


def _core(pairs: list[tuple[int, int]], users: int, items: int) -> list[tuple[int, int]]:
    """The k-core, one user or item at a time: slow and plain."""
    while True:
        by_user = Counter(u for u, _ in pairs)
        by_item = Counter(i for _, i in pairs)
        left = [(u, i) for u, i in pairs if by_user[u] >= users and by_item[i] >= items]
        if left == pairs:
            return left
        pairs = left


@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40),
    users=st.integers(1, 4),
    items=st.integers(1, 4),
)
def test_rows_add_up_and_the_core_is_right(
    tmp_path: Path, write_csv: Write, pairs: list[tuple[int, int]], users: int, items: int
) -> None:
    path = write_csv([(u, i, time) for time, (u, i) in enumerate(pairs)])
    settings = settings_for(
        path,
        clean={"min_user_events": users, "min_item_events": items, "abusive_factor": 1e6},
    )
    out = tmp_path / "out"
    expected = _core(pairs, users, items)
    try:
        dataset = build_dataset(settings, out, silent)
    except DataError:
        kept = max(Counter(u for u, _ in expected).values(), default=0)
        assert kept < 3, "with three events of one user every part has something"
    else:
        found = [(int(u), int(i)) for u, i, _ in sorted(events(dataset), key=lambda e: e[2])]
        assert found == expected
        assert sum(_reasons(out).values()) == len(pairs) - len(expected)


def test_nothing_left_names_the_rule_and_a_row(tmp_path: Path, write_csv: Write) -> None:
    rows = [(u, i, f"day {time}") for u, i, time in block()]
    with pytest.raises(DataError, match=r"'unparsable timestamp' took the most \(16\).*day 1000"):
        build_dataset(settings_for(write_csv(rows)), tmp_path / "out", silent)
    assert _reasons(tmp_path / "out") == {"unparsable timestamp": 16}


def test_one_user_is_a_sentence(tmp_path: Path, write_csv: Write) -> None:
    with pytest.raises(DataError, match="item with fewer than 5 events"):
        build_dataset(settings_for(write_csv(block(1, 9))), tmp_path / "out", silent)


def test_a_lost_row_is_noticed(
    tmp_path: Path, write_csv: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Leaky(cleaning._Sieve):
        def run(self, rules: Any) -> int:
            self.left = self.left.filter(self.left.row > 0)
            return super().run(rules)

    monkeypatch.setattr(cleaning, "_Sieve", Leaky)
    with pytest.raises(BuildError, match="16 rows in, 15 kept, 0 rejected"):
        build_dataset(settings_for(write_csv(block()), clean=LOOSE), tmp_path / "out", silent)
