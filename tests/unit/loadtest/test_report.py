"""The page of a run: it holds its data, fetches nothing, and bears what is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest

from loadtest.capacity import Step
from loadtest.report.comparison import Comparison
from loadtest.report.page import page
from loadtest.report.series import phase_starts, series
from loadtest.report.stored import StoredRun
from loadtest.spent import Spent, StepSpent, Traced
from tests.unit.loadtest.found_run import PLAYED, made_run, slower, stored

NOW = stored(made_run())
CURVE = [Step(100, 100, 2.0, 3.0, 4.0), Step(200, 190, 3.0, 9.0, 99.125, ("p99 ms by 74",))]


def content(*args: object) -> str:
    """The page without plotly's own source."""
    html = page(*args)  # type: ignore[arg-type]
    head, script = html.split("<script>", 1)
    source, rest = script.split("</script></head>", 1)
    assert len(source) > 1_000_000
    return head + rest


def before(factor: float) -> Comparison:
    return Comparison.of("baseline.json", stored(slower(NOW.run, 1 / factor)), NOW)


def plots(html: str) -> int:
    return html.count("Plotly.newPlot")


def test_it_holds_its_data() -> None:
    html = unescape(content(NOW, [before(1.5)], CURVE))
    assert "Load test mixed: all met" in html
    for name in ("p99 ms", "error share", "recommend", "features", "closure error", "reference"):
        assert name in html
    assert f"p95 {NOW.run.latency.p95_ms:.2f} ms" in html
    assert "99.125" in html
    assert html.count("regressed") == 4
    assert "x1.50 to x1.50" in html
    assert plots(html) == 6


def test_what_the_tail_is_made_of() -> None:
    fast = Spent("line 1", 1, 5.0, 1.0, (StepSpent("ranker", 0.5, 2.5),), 1.0)
    slow = Spent("line 2", 1, 50.25, 1.0, (StepSpent("ranker", 40.75, 7.5),), 1.0)
    traced = Traced.of(4, [*[fast] * 2000, *[slow] * 21], stages_measured=True)
    html = unescape(content(replace(NOW, run=replace(NOW.run, traced=traced))))
    assert "the largest piece is queueing before ranker (40.75 ms, 81%)" in html
    assert re.search(r"client&#x27;s clock|client's clock", html)
    for cell in ("50.25", "5.00", "40.75"):
        assert f">{cell}<" in html


def test_nothing_is_fetched_from_elsewhere() -> None:
    html = content(NOW, [before(1.0)], CURVE)
    assert not re.search(r"https?://", html)
    assert "default-src 'none'" in html


def test_no_text_becomes_markup() -> None:
    bad = "<script>alert(1)</script>"
    run = replace(NOW.run, scenario=bad, errors={bad: 1}, memory_mb={bad: (1.0, 1.0)})
    verdicts = tuple(replace(v, got=bad) for v in NOW.verdicts)
    other = replace(before(1.0), name=bad)
    html = content(replace(NOW, run=run, verdicts=verdicts), [other])
    assert "<script>alert" not in html
    assert "<b>busy" not in html


def test_a_run_without_answers() -> None:
    run = replace(
        NOW.run, due_s=(), latency_ms=(), errors={"503": 2}, failed_s=(1.0, 2.0), quality=None,
        budgets={},
    )  # fmt: skip
    empty = stored(run)
    compared = Comparison.of("the last run", NOW, empty)
    html = content(empty, [compared])
    assert "1 of 3 conditions missed" not in html
    assert "conditions missed" in html
    assert "nothing to plot" in html
    assert plots(html) == 0
    assert "503" in html


def test_a_comparison_that_says_nothing() -> None:
    short = stored(made_run(seconds=3))
    html = content(short, [Comparison.of("the last run", short, short)])
    assert "Not comparable: both runs need 10 s or more" in html


def test_a_request_that_nothing_explains() -> None:
    """Parts that add up to more than the client saw; a single answer."""
    budgets = {"recommend": replace(NOW.run.budgets["recommend"], client_ms=3.0)}
    one = replace(NOW.run, due_s=(0.5,), latency_ms=(3.0,), budgets=budgets)
    assert plots(content(stored(one))) == 5


@pytest.mark.parametrize(
    ("seconds", "rate", "width"), [(12, 120, 1), (12, 30, 5), (20, 1, 300), (400, 101, 2)]
)
def test_bins_are_as_narrow_as_the_requests_allow(seconds: int, rate: int, width: int) -> None:
    found = series(made_run(seconds=seconds, rate=rate))
    assert found.bin_s == width
    assert (found.p50 <= found.p95).all()
    spans = np.full(found.answered.size, width, dtype=float)
    spans[-1] = seconds - width * (found.answered.size - 1)
    assert found.answered @ spans == pytest.approx(seconds * rate)


def test_every_answer_and_every_error_is_in_its_bin() -> None:
    run = made_run(seconds=2)
    late = tuple(ms * (10 if due >= 1 else 1) for ms, due in zip(run.latency_ms, run.due_s))  # noqa: B905
    found = series(replace(run, latency_ms=late, failed_s=(1.5, 1.6, 99.0)))
    assert found.failed.tolist() == [0, 3]
    assert found.answered.tolist() == [120, 120]
    assert found.p50[1] > 5 * found.p50[0]


def test_phases() -> None:
    assert phase_starts(PLAYED) == [(0, "100 to 120/s"), (8, "3 users")]
    assert StoredRun is type(NOW)
