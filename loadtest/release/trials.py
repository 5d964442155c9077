"""Shadow and canary: windows one after the other, and back by itself when one is missed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from ensembles.errors import MillirankError, ReleaseError
from loadtest.release.objective import ReleaseObjective
from loadtest.release.probe import Query, asking, held_out, probe
from loadtest.release.watch import Seen, Tell, watch
from loadtest.release.window import read_snapshot
from serving.release.fleet import Fleet
from serving.release.trial import Trial

PROBED = 400
"""Held-out users that are asked in a window."""
_PROBE_SHARE = 0.5
"""Of a window; a candidate that is too slow for more users is asked for fewer."""

Write = Callable[[str, Mapping[str, Any]], None]
"""Takes an action and what is to be known of it: the journal."""


@dataclass(frozen=True)
class Trials:
    """A staged release on some servers.

    Attributes:
        metrics: ``host:port`` of the metrics of each server.
        seconds: length of a window.
    """

    fleet: Fleet
    metrics: Sequence[str]
    objective: ReleaseObjective
    seconds: float
    write: Write
    tell: Tell

    def shadow(self, share: float) -> Seen:
        """Mirror the requests of a share of the users for a window, then stop.

        Raises:
            ReleaseError: the objective was missed, and the release is rejected.
        """
        seen = self._window("shadow", mirror=share)
        self.fleet.change(lambda rollout: rollout.try_out())
        return seen

    def canary(self, share: float) -> Seen:
        """Answer a share of the users for a window; it goes on answering them.

        Raises:
            ReleaseError: the objective was missed, and the release is rejected; or it was asked
                too little to be judged, and answers nobody any more.
        """
        return self._window("canary", canary=share)

    def _window(self, action: str, **share: float) -> Seen:
        candidate = self.fleet.candidate()
        both = self.fleet.status().current, candidate
        queries = held_out(self.fleet.repository, both, PROBED)
        trial = self.fleet.change(lambda rollout: rollout.try_out(**share))
        about = asdict(trial)
        try:
            seen = self._watch(trial, queries)
        except MillirankError as e:
            self._reject(candidate, {**about, "figures": {"missed": [str(e)]}})
            raise
        except BaseException:  # interrupted: nobody watches any more
            self.fleet.withdraw()
            self.write("withdraw", {**about, "why": f"{action} was interrupted"})
            raise
        about["figures"] = seen.figures()
        if seen.missed:
            self._reject(candidate, about)
            missed = "; ".join(f"{v.name} {v.wanted}, got {v.got}" for v in seen.missed)
            raise ReleaseError(f"release {candidate} is rejected, because it missed {missed}")
        if not seen.judged:
            self.fleet.withdraw()
            self.write("withdraw", {**about, "why": "too few requests to judge it"})
            raise ReleaseError(
                f"release {candidate} was asked {seen.candidate.requests:,} times, and "
                f"{self.objective.minimum_count:,} are needed to judge it; it answers nobody any "
                "more: try again with a larger share or longer windows"
            )
        self.write(action, about)
        return seen

    def _reject(self, candidate: int, about: Mapping[str, Any]) -> None:
        try:
            self.fleet.reject(candidate)
        finally:
            self.write("reject", about)

    def _watch(self, trial: Trial, queries: Sequence[Query]) -> Seen:
        with ExitStack() as stack:
            ask = asking(stack, self.fleet.addresses)
            return watch(
                trial,
                self.objective,
                self.seconds,
                lambda: read_snapshot(self.metrics),
                probe(queries, ask, self.seconds * _PROBE_SHARE),
                self.tell,
            )
