from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ensembles.fuse import FUSED
from loadtest.budget import Budget, Part
from loadtest.record import RunRecord
from loadtest.spent import SLOWEST, TAIL, Spent, StepSpent, Traced, mean
from loadtest.step_statistics import ChainTimes, StepTimes
from loadtest.trace_join import Seen, StageLog, join, traced
from loadtest.trace_tables import print_traced
from loadtest.traces import Trace
from loadtest.tracing import Tracing
from tests.unit.loadtest.test_objective import GOOD

MS = 1_000_000
NO_LOG = StageLog(np.empty((0, 4), np.int64))
STEPS = ("features", "ranker", "policy")
WORK = {"features": 1.0, "ranker": 2.0, "policy": 1.0}


def chain(start: int, times: list[tuple[int, int]], names: tuple[str, ...]) -> dict[int, Trace]:
    """An ensemble's trace whose steps queue and work for so long, ns."""
    whole, traces = Trace("recommend", "7", None, {"REQUEST_START": start}), {}
    for number, (name, (queue, work)) in enumerate(zip(names, times, strict=True)):
        moments = {"REQUEST_START": start, "COMPUTE_START": start + queue}
        traces[number + 2] = Trace(name, "7", 1, moments)
        start += queue + work
    whole.ns["INFER_RESPONSE_COMPLETE"] = start
    return {**traces, 1: whole}


NS = st.integers(1, 10**9)


@given(NS, NS, NS, st.lists(st.tuples(NS, NS), min_size=3, max_size=3))
def test_the_pieces_are_those_that_it_was_made_of(
    due: int, arriving: int, leaving: int, times: list[tuple[int, int]]
) -> None:
    client_ms = (arriving + leaving + sum(map(sum, times))) / MS
    seen = Seen("7", due, client_ms * (1 + 1e-12))
    (spent,) = join(chain(due + arriving, times, STEPS), [seen], NO_LOG, WORK)
    assert spent.steps == tuple(
        StepSpent(name, q / MS, w / MS) for name, (q, w) in zip(STEPS, times, strict=True)
    )
    assert spent.arriving_ms == pytest.approx(arriving / MS)
    assert spent.leaving_ms == pytest.approx(leaving / MS, abs=1e-7)
    assert sum(spent.pieces().values()) == pytest.approx(client_ms)
    assert sum(spent.part_ms(part) for part in Part) == pytest.approx(client_ms)
    assert spent.part_ms(Part.M) == pytest.approx(times[1][1] / MS)


def test_a_line_that_was_sent_twice_is_told_apart_by_time() -> None:
    traces = chain(50 * MS, [(0, MS)] * 3, STEPS)
    seen = [Seen("7", 10 * MS, 9.0), Seen("7", 49 * MS, 9.0), Seen("8", 49 * MS, 9.0)]
    (spent,) = join(traces, seen, NO_LOG, WORK)
    assert spent.arriving_ms == 1
    assert spent.leaving_ms == 5
    assert join(traces, seen[::2], NO_LOG, WORK) == []


@pytest.mark.parametrize("lost", ["REQUEST_START", "COMPUTE_START"])
def test_a_trace_that_is_cut_off_is_left_out(lost: str) -> None:
    traces = chain(50 * MS, [(0, MS)] * 3, STEPS)
    del traces[3].ns[lost]
    assert join(traces, [Seen("7", 49 * MS, 9.0)], NO_LOG, WORK) == []
    assert join({1: traces[1]}, [Seen("7", 49 * MS, 9.0)], NO_LOG, WORK) == []


def test_the_joined_model_is_taken_apart() -> None:
    traces, seen = chain(50 * MS, [(MS, 8 * MS)], (FUSED,)), [Seen("7", 49 * MS, 12.0)]
    (split,) = join(traces, seen, NO_LOG, WORK)
    assert split.steps == (
        StepSpent("features", 1, 2),
        StepSpent("ranker", 0, 4),
        StepSpent("policy", 0, 2),
    )
    own = [51.5, 52, 58, 58.5]
    others = [[40, 41, 42, 43], [52, 53, 54, 55], [58, 60, 62, 64]]
    log = StageLog((np.array([*others, own]) * MS).astype(np.int64))
    (measured,) = join(traces, seen, log, WORK)
    assert measured.steps == (
        StepSpent("features", 1.5, 0.5),
        StepSpent("ranker", 0, 6),
        StepSpent("policy", 0, 0.5),
    )
    assert (measured.arriving_ms, split.leaving_ms, measured.leaving_ms) == (1, 2, 2.5)


def test_the_log_of_stages(tmp_path: Path) -> None:
    (tmp_path / "stages").write_text("5 6 7 8\n1 2\n1 2 3 4\n9 10")
    log = StageLog.read(tmp_path / "stages")
    assert len(log) == 2
    assert log.within(0, 4) == [1, 2, 3, 4]
    assert log.within(2, 7) == []
    assert len(StageLog.read(tmp_path / "nothing")) == 0


def test_without_traces_nothing_is_said(tmp_path: Path) -> None:
    seen = [Seen("7", 0, 1.0)]
    assert traced(Tracing(str(tmp_path)), seen, GOOD.budgets) is None
    assert traced(Tracing(str(tmp_path)), seen, {}) is None
    assert traced(Tracing("/nowhere", otlp="http://a:1"), seen, GOOD.budgets) is None


def spent(client_ms: float) -> Spent:
    steps = (StepSpent("features", client_ms / 2, 1.0), StepSpent("ranker", 0.0, 2.0))
    return Spent("recommend 7", 1, client_ms, 1.0, steps, client_ms / 2 - 4)


def found() -> Traced:
    made = Traced.of(10, [spent(float(n)) for n in range(10, 110)], stages_measured=False)
    assert made is not None
    return made


def test_groups() -> None:
    made = found()
    assert made.median.client_ms == pytest.approx(60)
    assert made.median.requests == 21
    assert made.tail.requests == TAIL
    assert made.tail.client_ms == pytest.approx(99.5)
    assert [one.client_ms for one in made.slowest] == [109, 108, 107, 106, 105]
    assert len(made.slowest) == SLOWEST
    few = Traced.of(1, [spent(10.0)], stages_measured=True)
    assert few is not None
    assert (few.count, few.median.client_ms, few.tail.client_ms) == (1, 10, 10)
    assert Traced.of(1, [], stages_measured=True) is None


def test_a_step_that_some_never_came_to_counts_as_nothing() -> None:
    short = Spent("recommend 1", 1, 4.0, 1.0, (StepSpent("features", 1, 1),), 1.0)
    both = mean("two", [short, spent(16.0)])
    assert both.steps == (StepSpent("features", 4.5, 1.0), StepSpent("ranker", 0, 1.0))


def test_the_record_keeps_it_and_old_records_still_read() -> None:
    run = replace(GOOD, traced=found())
    assert RunRecord.from_json(run.to_json()) == run
    old = GOOD.to_json().replace(', "traced": null', "")
    assert "traced" not in old
    assert RunRecord.from_json(old) == GOOD


def test_what_is_printed() -> None:
    one = StepTimes("ranker", 10, 3.0, 1.0, 0.5, 1.0, 0.5)
    steps = (replace(one, name="features"), one)
    whole = ChainTimes(replace(one, name="recommend", total_ms=6.5), steps)
    run = replace(GOOD, traced=found(), budgets={"recommend": Budget(8.0, 1.0, whole)})
    console = Console(width=120)
    with console.capture() as shown:
        print_traced(console, run, otlp="")
        print_traced(console, GOOD, otlp="http://a:1")
        print_traced(console, GOOD, otlp="")
    text = shown.get()
    rows = {line[:30].strip(): line.split()[-6:] for line in text.splitlines() if "%" in line}
    assert rows["ranker"] == ["2.00", "25%", "2.00", "3%", "2.00", "2%"]
    assert rows["P client's clock"] == ["8.00", "100%", "60.00", "100%", "99.50", "100%"]
    assert (
        "p99 is made of U 96.50 ms (97%), X 1.00 ms (1%), M 2.00 ms (2%): "
        "the largest piece is queueing before features (49.75 ms, 50%)"
    ) in text
    assert "100 requests traced, one in 10" in text
    assert "split as in the mean" in text
    assert "Triton sends its traces to http://a:1 alone" in text
    assert "there are no traces" in text
