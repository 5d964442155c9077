"""Several servers that change their release together: all of them, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ensembles.errors import MillirankError, ReleaseError
from serving.release.rollout import Rollout
from serving.release.trial import Trial
from serving.version_folders import shelve


class Fleet:
    """One server or more, in the order in which they change; they share a repository."""

    def __init__(self, rollouts: Sequence[Rollout]) -> None:
        self._rollouts = list(rollouts)
        self.repository = self._rollouts[0].repository

    @property
    def addresses(self) -> list[str]:
        """``host:port`` of each server's HTTP front end."""
        return [rollout.address for rollout in self._rollouts]

    def statuses(self) -> dict[str, Trial]:
        """What each server does now, by address."""
        return {rollout.address: rollout.status() for rollout in self._rollouts}

    def status(self) -> Trial:
        """What all of them do now.

        Raises:
            ReleaseError: one does something else than another.
        """
        found = self.statuses()
        if len(set(found.values())) > 1:
            said = "; ".join(f"{address}: {trial}" for address, trial in found.items())
            raise ReleaseError(
                f"expected servers that do the same, got {said}; "
                "bring them together with 'millirank release rollback'"
            )
        return next(iter(found.values()))

    def candidate(self) -> int:
        """The release that is staged on all of them.

        Raises:
            ReleaseError: none is, or not on all.
        """
        candidate = self.status().candidate
        if candidate is None:
            raise ReleaseError("no release is staged; begin with 'millirank release stage'")
        return candidate

    def change(self, do: Callable[[Rollout], Trial]) -> Trial:
        """Change one server after the other.

        Raises:
            ReleaseError: one failed, and those changed before it could not be taken back.
            MillirankError: one failed; all do what they did before.
        """
        begun: list[tuple[Rollout, Trial]] = []
        for rollout in self._rollouts:
            try:
                begun.append((rollout, rollout.status()))
                trial = do(rollout)
            except MillirankError as e:
                _take_back(begun, e)
                raise
        return trial

    def withdraw(self) -> None:
        """End the trial on every server that can be reached.

        Raises:
            ReleaseError: one could not be reached, or did not follow; the others did.
        """
        self._each("end the trial", Rollout.withdraw)

    def reject(self, release: int) -> None:
        """End the trial of a release, and take it out of the repository so that none loads it.

        Raises:
            ReleaseError: a server did not follow, or the release cannot be moved.
        """
        try:
            self.withdraw()
        finally:
            # A server that died of it must not start with it.
            shelve(self.repository, release)
        self._each("unload the release", Rollout.let_go)

    def _each(self, what: str, do: Callable[[Rollout], object]) -> None:
        failed = []
        for rollout in self._rollouts:
            try:
                do(rollout)
            except MillirankError as e:
                failed.append(f"{rollout.address}: {e}")
        if failed:
            raise ReleaseError(f"cannot {what} everywhere: {'; '.join(failed)}")


def _take_back(begun: Sequence[tuple[Rollout, Trial]], cause: MillirankError) -> None:
    """Undo, the last first.

    Raises:
        ReleaseError: it failed somewhere.
    """
    failed = []
    for rollout, before in reversed(begun):
        try:
            if rollout.status() != before:
                rollout.restore(before)
        except MillirankError as e:
            failed.append(f"{rollout.address}: {e}")
    if failed:
        raise ReleaseError(
            f"{cause}; and what was changed before could not be taken back: {'; '.join(failed)}"
        ) from cause
