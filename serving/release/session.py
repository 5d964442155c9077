"""Changes of what some servers serve: one command at a time, each in the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ensembles.errors import MillirankError, ReleaseError
from serving.release.control import Control
from serving.release.fleet import Fleet
from serving.release.journal import Journal
from serving.release.lock import release_lock
from serving.release.rollout import Rollout
from serving.release.trial import Trial
from serving.repository import releases


def fleet_of(
    repository: Path, servers: Sequence[tuple[str, str]], token: str = "", profile: str = "cpu"
) -> Fleet:
    """Servers of a repository, by ``host:port`` of HTTP and gRPC; the token is for changes only."""
    controls = [Control(http, token, grpc) for http, grpc in servers]
    return Fleet([Rollout(repository, control, profile) for control in controls])


@dataclass(frozen=True)
class Session:
    """What one command does.

    Attributes:
        why: for the journal.
    """

    fleet: Fleet
    journal: Journal
    why: str = ""

    @classmethod
    @contextmanager
    def open(cls, fleet: Fleet, why: str) -> Iterator[Session]:
        """Hold the releases of the repository.

        Raises:
            ReleaseError: another command holds them.
        """
        with release_lock(fleet.repository):
            yield cls(fleet, Journal(fleet.repository), why)

    def write(self, action: str, about: Mapping[str, Any]) -> None:
        """Into the journal."""
        self.journal.add(action, {"servers": self.fleet.addresses, "why": self.why, **about})

    def stage(self, release: int | None) -> Trial:
        """Load a release beside the one that answers; None is the newest.

        Raises:
            ReleaseError: there is none that is newer, or ``Rollout.stage`` refuses.
        """
        current = self.fleet.status().current
        newest = releases(self.fleet.repository)[-1]
        if release is None and newest <= current:
            raise ReleaseError(
                f"release {current} answers, and there is no newer one in {self.fleet.repository}; "
                "make one with 'millirank build --stage'"
            )
        wanted = newest if release is None else release
        return self._change("stage", wanted, lambda rollout: rollout.stage(wanted))

    def promote(self) -> Trial:
        """Have the staged release answer everybody."""
        return self._change("promote", self.fleet.candidate(), Rollout.promote)

    def rollback(self, release: int | None) -> Trial:
        """End the trial, if there is one; else go back to an older release, None is the last.

        Raises:
            ReleaseError: there is no older one.
        """
        now = self.fleet.statuses().values()
        if release is None and any(trial.candidate is not None for trial in now):
            self.fleet.withdraw()
            trial = self.fleet.status()
            self.write("withdraw", asdict(trial))
            return trial
        current = max(trial.current for trial in now)
        older = [n for n in releases(self.fleet.repository) if n < current]
        if release is None and not older:
            raise ReleaseError(
                f"release {current} answers, and there is no older one in {self.fleet.repository}"
            )
        wanted = older[-1] if release is None else release
        return self._change("rollback", wanted, lambda rollout: rollout.go_back(wanted))

    def _change(self, action: str, release: int, do: Callable[[Rollout], Trial]) -> Trial:
        before = self.fleet.statuses()
        about = {"release": release, "before": next(iter(before.values())).current}
        try:
            trial = self.fleet.change(do)
        except MillirankError as e:
            self.write(f"{action} failed", {**about, "error": str(e)})
            raise
        self.write(action, {**about, **asdict(trial)})
        return trial
