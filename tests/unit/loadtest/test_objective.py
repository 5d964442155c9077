from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from ensembles.errors import LoadTestError
from loadtest.budget import Budget
from loadtest.objective import Objective, judge
from loadtest.quality import compare, gain
from loadtest.record import Quality, RunRecord
from loadtest.script import Line
from loadtest.step_statistics import ChainTimes, StepTimes
from loadtest.toml_settings import shipped
from loadtest.traffic import Protocol
from loadtest.verdict_table import verdict_table
from millirank import cli
from serving.messages import Request

STEP = StepTimes("ranker", 10, 3.0, 1.0, 0.5, 1.0, 0.5)
GOOD = RunRecord(
    scenario="steady",
    loop="open",
    seed=1,
    seconds=10.0,
    due_s=tuple(i / 210 for i in range(2100)),
    latency_ms=(5.0,) * 2100,
    late_p99_ms=1.0,
    errors={},
    generator_share=0.2,
    quality=Quality(100, 0.25, 0.25, 1.0),
    memory_mb={"tritonserver 7": (100.0, 100.5)},
    budgets={"recommend": Budget(5.0, 0.3, ChainTimes(replace(STEP, name="recommend"), (STEP,)))},
)
DEFAULT = Objective.read(shipped("objectives")["default"])


def missed(run: RunRecord, objective: Objective = DEFAULT) -> dict[str, str]:
    return {v.name: v.missed for v in judge(objective, run) if v.missed}


def test_the_default_is_what_it_should_be_and_a_good_run_meets_it() -> None:
    assert (DEFAULT.p99_ms, DEFAULT.error_share, DEFAULT.requests_per_second) == (25, 0, 200)
    assert missed(GOOD) == {}


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        ({"latency_ms": (35.5,) * 2100}, "p99 ms", "by 10.5"),
        ({"latency_ms": (5.0,) * 999, "seconds": 4.0}, "p99 ms", "needs 1,000 answers, got 999"),
        ({"errors": {"503": 2100}}, "error share", "by 0.5"),
        ({"seconds": 21.0}, "requests/s", "by 100"),
        ({"quality": Quality(9, 0.1, 0.25, 1.0)}, "NDCG@10 under load, difference", "by 0.149"),
        ({"quality": Quality(9, 0.25, 0.25, 0.5)}, "answers as without load", "by 0.49"),
        ({"quality": None}, "quality", "no figure"),
        ({"generator_share": 0.95}, "load process", "busy for 95%"),
        ({"late_p99_ms": 50.0}, "load process", "did not keep its schedule"),
    ],
)
def test_what_is_missed_and_by_how_much(change: dict[str, Any], name: str, reason: str) -> None:
    found = missed(replace(GOOD, **change))
    assert list(found) == [name]
    assert reason in found[name]


def test_memory_growth() -> None:
    asked = Objective(memory_growth=0.01)
    assert missed(GOOD, asked) == {}
    grown = replace(GOOD, memory_mb={"a": (100.0, 100.0), "b": (100.0, 103.0)})
    assert missed(grown, asked) == {"memory growth": "by 0.02"}
    assert missed(replace(GOOD, memory_mb={}), asked) == {"memory growth": "no figure"}


def test_the_soak_asks_for_no_growth_and_no_error() -> None:
    soak = Objective.read(shipped("objectives")["soak"])
    assert (soak.memory_growth, soak.error_share) == (0.01, 0)
    assert missed(GOOD, soak) == {}


def test_no_answer_at_all_is_missed() -> None:
    nothing = replace(GOOD, due_s=(), latency_ms=(), errors={"503": 3})
    assert {"p99 ms", "error share", "requests/s"} <= set(missed(nothing))


def test_json_there_and_back() -> None:
    assert RunRecord.from_json(GOOD.to_json()) == GOOD
    sampled = replace(GOOD, memory_samples={"tritonserver 7": ((0.5, 100.0), (9.5, 100.5))})
    assert RunRecord.from_json(sampled.to_json()) == sampled
    before_samples = {k: v for k, v in json.loads(GOOD.to_json()).items() if k != "memory_samples"}
    assert RunRecord.from_json(json.dumps(before_samples)) == GOOD
    bare = replace(GOOD, quality=None, budgets={})
    assert RunRecord.from_json(bare.to_json()) == bare
    for text in ("", "[]", "{}", '{"seed": 1}'):
        with pytest.raises(LoadTestError, match="as `millirank loadtest --json`"):
            RunRecord.from_json(text)


def test_gain_and_comparison() -> None:
    assert [gain(tuple("abc"), t) for t in "abz"] == pytest.approx([1, 0.6309, 0], abs=1e-4)
    assert gain(tuple("abcdefghijk"), "k") == 0
    lines = [Line(Protocol.GRPC, Request("u"), "a"), Line(Protocol.GRPC, Request("new"), None)]
    before = {0: ("a", "b"), 1: ("c",)}
    found = compare(lines, before, [(0, ("b", "a")), (0, ("a", "b")), (1, ("c",)), (5, ("x",))])
    assert found is not None
    assert (found.scored, found.ndcg_unloaded, found.same) == (2, 1.0, 2 / 3)
    assert found.ndcg_loaded == pytest.approx((1 + 0.6309) / 2, abs=1e-4)
    assert found.gains == (found.ndcg_loaded,)  # one request, asked twice
    assert compare(lines, before, []) is None


def test_the_table_shows_what_was_missed() -> None:
    slow = replace(GOOD, latency_ms=(35.5,) * 2100)
    console = Console(width=120)
    with console.capture() as shown:
        console.print(verdict_table(slow, judge(DEFAULT, slow)))
    assert "steady: open loop" in shown.get()
    assert "by 10.5" in shown.get()
    assert "20% of a core, at most 1,050 requests/s" in shown.get()


def test_a_sentence_leaves_the_figures_their_room() -> None:
    late = replace(GOOD, late_p99_ms=50.0)
    console = Console(width=80)
    with console.capture() as shown:
        console.print(verdict_table(late, judge(DEFAULT, late)))
    assert "…" not in shown.get()
    assert "<= 25" in shown.get()


@pytest.mark.parametrize("option", ["--objective", "--json", "--otlp", "--out", "--compare"])
def test_options_that_want_a_scenario(option: str) -> None:
    result = CliRunner().invoke(cli, ["loadtest", option, "file"])
    assert result.exit_code == 2
    assert f"{option} goes with --scenario" in result.output
