"""The report as one HTML file that fetches nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from builders.compress.report.plots import plotly_script
from builders.outcomes.outcomes import Exploration, OfRelease, Outcomes
from builders.outcomes.plots import position_plot, release_plot
from builders.outcomes.rate import Rate
from serving.markup import document, facts, heading, table

_TITLE = "What became of what was shown"
_RATE = ("clicks", "impressions", "rate", "95 % from", "to")


def page(found: Outcomes) -> str:
    """Everything that is known; all texts are escaped."""
    return document(_TITLE, plotly_script(), _body(found))


def _body(found: Outcomes) -> Iterator[str]:
    yield f"<h1>{_TITLE}</h1>"
    yield facts(
        {
            "impressions": f"{found.clicked.total:,}",
            "clicks": f"{found.clicked.count:,} ({_share(found.clicked)})",
            "answered by": ", ".join(f"{t} {n:,}" for t, n in found.events.items()) or "nothing",
            "clicks without an exported impression": f"{found.unmatched:,}",
        }
    )
    yield heading(
        "By release",
        "Intervals are Wilson's (1927) and take impressions for independent; those of one answer "
        "are not quite, so the truth is a little wider. Coverage is distinct items shown, of the "
        "release's catalogue; cold start is the share of answers to users of whom nothing was "
        "known.",
    )
    columns = ("release", "from", "to", "users", *_RATE, "items shown", "coverage", "cold start")
    yield table(columns, [("", _release(of)) for of in found.releases], "fits")
    yield release_plot(found)
    if found.differences:
        yield heading(
            "Against the release before",
            "Difference of the rates (Newcombe 1998, method 10). Releases that ran at different "
            "times had different users and days: only a canary compares like with like.",
        )
        yield table(("release", "against", "difference", "95 % from", "to"), _differences(found))
    if found.exploration is not None:
        yield heading(
            "Exploration",
            "Slots given to items that little is known of, at random, against the other slots of "
            "the same releases. It shows what exploring costs, and not what the items are worth.",
        )
        yield table(("slots", *_RATE), _explored(found.exploration))
    yield heading(
        "By position",
        "What stands first is clicked more, whatever it is: compare releases at the same place.",
    )
    yield position_plot(found)
    together = (at for at in found.positions if at.release is None)
    rows = [("", (str(at.position), *_rate(at.clicked))) for at in together]
    yield table(("position", *_RATE), rows)


def _release(of: OfRelease) -> tuple[str, ...]:
    coverage = "unknown" if of.coverage is None else f"{of.coverage:.1%}"
    times = (_time(seconds) for seconds in (of.first, of.last))
    cold = f"{of.cold_start.value:.1%}" if of.cold_start.total else "unknown"
    shown = (f"{of.items:,}", coverage, cold)
    return (str(of.release), *times, f"{of.users:,}", *_rate(of.clicked), *shown)


def _time(seconds: int | None) -> str:
    if seconds is None:
        return "unknown"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _differences(found: Outcomes) -> Iterator[tuple[str, tuple[str, ...]]]:
    for new, old, of in found.differences:
        style = ("good" if of.value > 0 else "bad") if of.told else ""
        yield style, (str(new), str(old), *(f"{x:+z.2%}" for x in (of.value, of.low, of.high)))


def _explored(found: Exploration) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "", ("explored", *_rate(found.explored))
    yield "", ("others", *_rate(found.others))
    of = found.difference
    yield "", ("difference", "", "", *(f"{x:+.2%}" for x in (of.value, of.low, of.high)))


def _rate(rate: Rate) -> tuple[str, ...]:
    shares = (f"{share:.2%}" for share in (rate.value, rate.low, rate.high))
    return (f"{rate.count:,}", f"{rate.total:,}", *shares)


def _share(rate: Rate) -> str:
    return f"{rate.value:.2%}, 95 % interval {rate.low:.2%} to {rate.high:.2%}"
