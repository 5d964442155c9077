"""Watches a release on trial for a window, and longer where it was asked too little."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from loadtest.objective import Verdict
from loadtest.release.objective import ReleaseObjective, enough, judge
from loadtest.release.probe import Probe
from loadtest.release.window import Snapshot, Window
from serving.release.trial import Trial

POLL_SECONDS = 2.0
EXTENSIONS = 5
"""A window with too few requests is made longer by its own length, so often at most."""
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Seen:
    """What came of a window.

    Attributes:
        judged: there were enough requests to tell, or it was bad enough without.
        verdicts: of every condition.
        current, candidate: what each release did.
        probe: quality under load; None where no users were held out.
        seconds: how long it was watched.
    """

    judged: bool
    verdicts: tuple[Verdict, ...]
    current: Window
    candidate: Window
    probe: Probe | None
    seconds: float

    @property
    def missed(self) -> list[Verdict]:
        """Conditions that were not met."""
        return [verdict for verdict in self.verdicts if verdict.missed]

    def figures(self) -> Mapping[str, Any]:
        """For the journal."""
        return {
            "seconds": round(self.seconds, 1),
            "judged": self.judged,
            "current": self.current.figures(),
            "candidate": self.candidate.figures(),
            "quality": self.probe and asdict(self.probe),
            "missed": [f"{v.name} {v.wanted}: {v.got} ({v.missed})" for v in self.missed],
        }


def watch(
    trial: Trial,
    objective: ReleaseObjective,
    seconds: float,
    read: Callable[[], Snapshot],
    probe: Iterator[Probe | None],
    tell: Tell,
) -> Seen:
    """One window: ends when it is over, or as soon as it cannot be met any more.

    Args:
        read: the servers' counters now.
        probe: asks one held-out user after the other, while the counters are watched.

    Raises:
        LoadTestError: the servers cannot be read.
    """
    assert trial.candidate is not None
    start, before = time.monotonic(), read()
    found: Probe | None = None
    end, extended = start + seconds, 0
    while True:
        poll = min(time.monotonic() + POLL_SECONDS, end)
        for latest in probe:
            found = latest
            if time.monotonic() >= poll:
                break
        after = read()
        windows = [Window.between(before, after, r) for r in (trial.current, trial.candidate)]
        verdicts = tuple(judge(objective, windows[1], found))
        now, judged = time.monotonic(), enough(objective, windows[1])
        seen = Seen(judged, verdicts, windows[0], windows[1], found, now - start)
        if seen.missed:
            return seen
        if now >= end and (judged or extended == EXTENSIONS):
            return seen
        if now >= end:
            extended, end = extended + 1, end + seconds
            tell(
                f"the candidate was asked {windows[1].requests:,} times, and "
                f"{objective.minimum_count:,} are needed to judge it; watching for another "
                f"{seconds:,.0f} s"
            )
        time.sleep(max(poll - now, 0))
