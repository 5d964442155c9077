"""What ``millirank release`` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from loadtest.release.objective import ReleaseObjective
from loadtest.release.trials import Trials
from loadtest.release.watch import Seen
from loadtest.tables import table_of
from serving.release.fleet import Fleet
from serving.release.journal import Entry, Journal
from serving.release.session import Session
from serving.repository import current_release, releases


def print_status(fleet: Fleet) -> None:
    """Each server, and the repository."""
    table = table_of("Servers", "answers", "tried", "canary", "mirrored")
    for address, trial in fleet.statuses().items():
        tried = "" if trial.candidate is None else str(trial.candidate)
        shares = f"{trial.canary:.0%}", f"{trial.mirror:.0%}"
        table.add_row(address, str(trial.current), tried, *shares)
    there, current = releases(fleet.repository), current_release(fleet.repository)
    table.caption = f"repository: {', '.join(map(str, there))}; a new server serves {current}"
    Console().print(table)


def print_shadow(
    fleet: Fleet,
    metrics: Sequence[str],
    why: str,
    *,
    share: float,
    minutes: float,
    objective: Path | None,
) -> None:
    """Mirror, and compare.

    Raises:
        ReleaseError: the release is rejected, or cannot be judged.
    """
    with Session.open(fleet, why) as session:
        seen = _trials(session, metrics, minutes, objective).shadow(share)
        Console().print(seen_table("Shadow", seen))


def print_canary(
    fleet: Fleet,
    metrics: Sequence[str],
    why: str,
    *,
    shares: Sequence[float],
    minutes: float,
    objective: Path | None,
    promote: bool,
) -> None:
    """Try a release on growing shares of the users.

    Raises:
        ReleaseError: the release is rejected, or cannot be judged.
    """
    with Session.open(fleet, why) as session:
        trials = _trials(session, metrics, minutes, objective)
        for share in shares:
            Console().print(seen_table(f"Canary, {share:.4g} of the users", trials.canary(share)))
        if promote:
            session.promote()
        print_status(fleet)


def print_journal(repository: Path, last: int, *, raw: bool) -> None:
    """The last entries."""
    entries = Journal(repository).entries()[-last:]
    if raw:
        for entry in entries:
            print(json.dumps(entry, ensure_ascii=False))
        return
    table = table_of("Releases", "who", "action", "release", "why")
    for column in table.columns[1:]:
        column.justify = "left"
    for entry in entries:
        release = entry.get("candidate") or entry.get("release") or ""
        table.add_row(
            entry["when"][:19], entry["who"], entry["action"], str(release), _reason(entry)
        )
    Console().print(table)


def seen_table(title: str, seen: Seen) -> Table:
    """A window that was met."""
    table = table_of(title, "wanted", "got")
    for verdict in seen.verdicts:
        table.add_row(verdict.name, verdict.wanted, verdict.got)
    for name, window in (("candidate", seen.candidate), ("current", seen.current)):
        times = f"mean {window.mean_ms:.3g} ms, p99 {window.p99_ms:.3g} ms"
        table.add_row(name, "", f"{window.requests:,} requests, {times}")
    mirrored = seen.candidate.same + seen.candidate.other
    if mirrored:
        same = seen.candidate.same / mirrored
        ratio = seen.candidate.mean_ms / max(seen.current.mean_ms, 1e-9)
        got = f"{same:.1%} the same items, {ratio:.2f} times the mean"
        table.add_row("mirrored", "", f"{got}, {seen.candidate.dropped:,} dropped")
    if seen.probe is None:
        table.caption = "quality was not judged: the release holds no users out"
    return table


def _trials(
    session: Session, metrics: Sequence[str], minutes: float, objective: Path | None
) -> Trials:
    wanted = ReleaseObjective.read(objective) if objective else ReleaseObjective()
    return Trials(session.fleet, metrics, wanted, minutes * 60, session.write, print)


def _reason(entry: Entry) -> str:
    figures: dict[str, Any] = entry.get("figures") or {}
    return entry.get("why") or entry.get("error") or "; ".join(figures.get("missed", ()))
