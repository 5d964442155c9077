"""The page of a run: one HTML file that needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from loadtest.budget import Part
from loadtest.capacity import Step
from loadtest.report import budget_plot, plots
from loadtest.report.comparison import Comparison, interval, worded
from loadtest.report.figure import plotly_script
from loadtest.report.noise import CONFIDENCE, MIN_BLOCKS
from loadtest.report.series import ENOUGH, series
from loadtest.report.stored import StoredRun
from loadtest.spent import Traced
from loadtest.tables import BUDGET_HEADINGS, budget_rows
from serving.markup import document, facts, heading, table


def page(stored: StoredRun, compared: Sequence[Comparison] = (), curve: Sequence[Step] = ()) -> str:
    """Everything that is known of a run.

    Args:
        compared: with runs from before.
        curve: what a search for the capacity found, by rising rate.
    """
    missed = sum(bool(verdict.missed) for verdict in stored.verdicts)
    outcome = f"{missed} of {len(stored.verdicts)} conditions missed" if missed else "all met"
    title = f"Load test {stored.run.scenario}: {outcome}"
    return document(title, plotly_script(), _body(title, stored, compared, curve))


def _body(
    title: str, stored: StoredRun, compared: Sequence[Comparison], curve: Sequence[Step]
) -> Iterator[str]:
    run = stored.run
    yield f"<h1>{escape(title)}</h1>"
    yield f'<p class="note">{escape(_summary(stored))}</p>'
    rows = [
        ("bad" if v.missed else "good", (v.name, v.wanted, v.got, v.missed or "met"))
        for v in stored.verdicts
    ]
    yield table(("", "objective", "got", "missed"), rows, "verdicts")
    if run.errors:
        yield heading("Errors")
        yield table(("", "times"), [("", (e, f"{n:,}")) for e, n in run.errors.items()], "texts")
    if run.latency_ms:
        yield from _of_latencies(stored, curve)
    else:
        yield '<p class="bad">No request was answered, so there is nothing to plot.</p>'
    if run.budgets:
        yield from _budgets(stored)
    if run.traced:
        yield from _traced(run.traced)
    for comparison in compared:
        yield from _comparison(comparison)
    curves = [("this run", run), *((c.name, c.other.run) for c in compared)]
    curves = [(name, one) for name, one in curves if one.latency_ms]
    if compared and len(curves) > 1:
        yield heading("Distributions, one over the other")
        yield plots.distributions(curves)
    yield heading("About")
    yield facts(_about(stored))


def _of_latencies(stored: StoredRun, curve: Sequence[Step]) -> Iterator[str]:
    run, found = stored.run, series(stored.run)
    start = "the scheduled moment" if run.loop == "open" else "the moment of sending"
    if run.loop == "open and closed":
        start = "the scheduled moment (open phases) or that of sending (closed ones)"
    yield heading(
        "Over time",
        f"Bins of {found.bin_s:g} s; latencies count from {start}. A bin with fewer than "
        f"{ENOUGH} answers has no p99. Dotted lines: where a phase begins, and what it asks for.",
    )
    yield plots.over_time(found, stored.played)
    yield heading("How latencies are spread")
    yield plots.histogram(run)
    yield heading(
        "Throughput against latency",
        f"Each point is one bin of {found.bin_s:g} s"
        + ("; lines: the search for the capacity, with a cross where it missed." if curve else "."),
    )
    yield plots.throughput(found, curve)


def _budgets(stored: StoredRun) -> Iterator[str]:
    budgets = stored.run.budgets
    yield heading(
        "Where the time goes: P = f(U, X, M)",
        "Means. U: request handling, queues, policy; X: preprocessing and features; M: the ranker.",
    )
    yield budget_plot.parts_plot(budgets)
    for ensemble, budget in budgets.items():
        yield budget_plot.steps_plot(ensemble, budget)
        rows = [("part" if whole else "", cells) for cells, whole in budget_rows(budget)]
        yield table((ensemble, *BUDGET_HEADINGS), rows)
        yield f'<p class="note">{escape(ensemble)}: closure error {budget.closure_error:.1%}.</p>'


def _traced(found: Traced) -> Iterator[str]:
    shown = (found.median, found.tail)
    yield heading(
        "Where p50 and p99 come from",
        f"{found.how_many}; means of {shown[0].requests} "
        f"around p50 and of the {shown[1].requests} slowest. {shown[1].sentence()}.",
    )
    pieces = [spent.pieces() for spent in shown]
    rows = [("part", (part.value, *_both([s.part_ms(part) for s in shown]))) for part in Part]
    rows += [
        ("", (name, *_both([piece.get(name, 0.0) for piece in pieces])))
        for name in dict.fromkeys([*pieces[1], *pieces[0]])
    ]
    rows.append(("part", ("client's clock", *_both([s.client_ms for s in shown]))))
    yield table(("", "p50 ms", "p99 ms"), rows)


def _both(ms: Sequence[float]) -> list[str]:
    return [f"{value:.2f}" for value in ms]


def _comparison(comparison: Comparison) -> Iterator[str]:
    other = comparison.other
    yield heading(
        f"Against {comparison.name}",
        f"{_when(other)}, release {other.release}. Ratio of latencies, now to before, and how much "
        f"worse the shares became (NDCG@10: each request counts once). The {CONFIDENCE:.0%} "
        "interval covers the noise within the runs; it does not cover what changed on the machine "
        "between them.",
    )
    if not comparison.changes:
        yield f'<p class="note">Not comparable: both runs need {MIN_BLOCKS} s or more.</p>'
        return
    rows = [
        (
            "bad" if c.regressed else "",
            (
                c.figure,
                f"{c.before:.4g}",
                f"{c.now:.4g}",
                worded(c, c.change),
                interval(c),
                worded(c, c.limit),
                "regressed" if c.regressed else "",
            ),
        )
        for c in comparison.changes
    ]
    yield table(("", "before", "now", "change", "interval", "tolerated", ""), rows)


def _when(stored: StoredRun) -> str:
    return f"{stored.when:%Y-%m-%d %H:%M:%S} UTC"


def _summary(stored: StoredRun) -> str:
    run = stored.run
    said = f"{len(run.latency_ms):,} answers in {run.seconds:.1f} s"
    if run.latency_ms:
        found = run.latency
        said += (
            f" ({run.requests_per_second:,.0f}/s): p50 {found.p50_ms:.2f} ms, "
            f"p95 {found.p95_ms:.2f} ms, p99 {found.p99_ms:.2f} ms"
        )
    failed = sum(run.errors.values())
    return f"{said}; {failed:,} errors. {run.loop.capitalize()} loop. {stored.played.about}"


def _about(stored: StoredRun) -> dict[str, str]:
    run = stored.run
    known = {
        "ended": _when(stored),
        "release": str(stored.release),
        "seed": str(run.seed),
        "load process": (
            f"{run.generator_share:.0%} of a core, at most {run.generator_ceiling:,.0f} "
            f"requests/s; 99 % left within {run.late_p99_ms:.1f} ms"
        ),
    }
    if quality := run.quality:
        known["quality"] = (
            f"NDCG@10 {quality.ndcg_loaded:.4f} under load, {quality.ndcg_unloaded:.4f} without; "
            f"{quality.same:.1%} of the answers list the same items"
        )
    for process, (before, after) in run.memory_mb.items():
        known[f"memory of {process}"] = f"{before:.0f} MB, then {after:.0f} MB"
    return known
