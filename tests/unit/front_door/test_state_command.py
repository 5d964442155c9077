"""``millirank state copy``, and what a degraded answer looks like."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import millirank
from ensembles.errors import DataError
from ensembles.step_code import load_step
from serving.messages import Recommendation
from serving.tables import recommendation_table
from tests.triton.tiny import SOURCE


def test_a_state_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = load_step(SOURCE / "features" / "1")
    one = np.ones(1, np.int64)
    code.seed(tmp_path / "state", [(f"user-{n}", one.astype(np.uint64), one) for n in range(1200)])
    command = ["state", "copy", "lmdb://state", "lmdb://other"]
    done = CliRunner().invoke(millirank.cli, command, catch_exceptions=False)
    assert (done.exit_code, done.stdout.split(" in ")[0]) == (0, "1,200 users merged")
    state = code.state.LmdbState(tmp_path / "other")
    assert state.read([b"user-0", b"user-1199"]).counts.tolist() == [1, 1]
    state.close()


def test_a_state_that_is_not_there() -> None:
    with pytest.raises(DataError, match="user state: .*nowhere cannot be read"):
        CliRunner().invoke(
            millirank.cli, ["state", "copy", "lmdb://nowhere", "lmdb://x"], catch_exceptions=False
        )


@pytest.mark.parametrize("degraded", [True, False])
def test_a_degraded_answer_says_so(*, degraded: bool) -> None:
    page = io.StringIO()
    answer = Recommendation(("7",), (0.5,), 3, 0.001, degraded)
    Console(file=page, width=120).print(recommendation_table("42", answer, {}))
    said = " ".join(page.getvalue().split())
    assert ("degraded: the server could not read" in said) is degraded
