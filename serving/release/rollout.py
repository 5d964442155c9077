"""Stage a release beside the one that answers, try it on some users, make it the one, or go back.

Every step is pinned by the ensembles, so a release changes as a whole: with one load of each
ensemble, ``recommend`` last, while requests in flight end on what they began with. While a release
is tried, a router stands in the place of each ensemble that is asked for users.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ensembles.errors import MillirankError, ReleaseError
from ensembles.recommend import ENCODE_IMAGE
from ensembles.record import RECORD
from serving.manifest import check
from serving.release.configs import (
    Config,
    configs_of,
    ensembles,
    queue_of,
    served_steps,
    with_versions,
)
from serving.release.control import Control
from serving.release.memory import check_room
from serving.release.router import router_config, router_files
from serving.release.trial import CANDIDATE, CURRENT, Trial, role_of
from serving.repository import current_release, releases
from serving.version_folders import make_current, shelve

FINISH_SECONDS = 1.0
"""What a router has in flight when it is replaced is answered within this time."""


class Rollout:
    """The releases of one server.

    Args:
        repository: that the server serves, on a file system that both see.
        profile: that the server was started with.
    """

    def __init__(self, repository: Path, control: Control, profile: str = "cpu") -> None:
        self.repository = repository
        self.address = control.address
        self._control = control
        self._profile = profile

    def status(self) -> Trial:
        """What the server does now."""
        return Trial.of(self._control)

    def stage(self, candidate: int) -> Trial:
        """Load and warm a release beside the one that answers; nobody is answered by it.

        Raises:
            ReleaseError: it is damaged, the one that answers, or there is no memory for both.
            ServerError: it does not load; what was served goes on.
        """
        now = self.status()
        if candidate == now.current:
            raise ReleaseError(f"release {candidate} is the one that answers; stage another")
        check(self.repository, candidate)
        loaded = self._loaded(now.current)
        if candidate not in loaded:
            check_room(self.repository, candidate, self.address, len(loaded))
        if now.candidate is not None:
            now = self.withdraw()
        # It may be that a build has made another one current since the server started.
        make_current(self.repository, now.current)
        self._load_steps(now.current, candidate)
        for role, release in ((CURRENT, now.current), (CANDIDATE, candidate)):
            for name, config in ensembles(self._configs(release)).items():
                # Under a name of its own, out of no folder.
                own = {**with_versions(config, 1), "name": role_of(name, role)}
                self._control.load(own["name"], own, {"1/none": b""})
        return replace(now, candidate=candidate)

    def try_out(self, *, canary: float = 0.0, mirror: float = 0.0) -> Trial:
        """Have the staged release answer a share of the users, or hear a share of their requests.

        Without either, nothing stands between the users and the release that answers.

        Raises:
            ReleaseError: none is staged, or a share is not from 0 to 1.
            ServerError: the router does not load; what was served goes on.
        """
        if not (0 <= canary <= 1 and 0 <= mirror <= 1):
            raise ReleaseError(f"a share is from 0 to 1; got {canary:g} and {mirror:g}")
        now, candidate = self._staged()
        trial, configs = replace(now, canary=canary, mirror=mirror), self._configs(candidate)
        for name, config in ensembles(configs).items():
            if name == ENCODE_IMAGE.name:
                continue
            if canary or mirror:
                router = router_config(config, queue_of(configs, name), trial)
                self._control.load(name, router, router_files(now.current))
            else:
                self._control.load(name)
        return trial

    def promote(self) -> Trial:
        """Have the staged release answer everybody, now and after a restart.

        The release that answered stays loaded until another is staged.

        Raises:
            ReleaseError: none is staged, or the repository cannot be written.
            ServerError: it does not load; the release that answered before does so again.
        """
        return self._switch(self._staged()[1])

    def withdraw(self) -> Trial:
        """End the trial; the release that answered before answers everybody."""
        return self._switch(self.status().current)

    def go_back(self, release: int) -> Trial:
        """Have the release before answer everybody, loading it first where it is not loaded.

        Raises:
            ReleaseError: it is damaged, or not older than the one that answers.
        """
        now = self.status()
        if release >= now.current:
            raise ReleaseError(f"release {release} is not older than {now.current}, which answers")
        check(self.repository, release)
        if now.candidate is not None:
            now = self.withdraw()
        self._load_steps(now.current, release)
        return self._switch(release)

    def restore(self, trial: Trial) -> Trial:
        """Have the server do again what it did before, whatever of a change it has carried out."""
        now = self.status()
        if now.current != trial.current or trial.candidate is None:
            now = self._switch(trial.current)
        if trial.candidate is None:
            return now
        if now.candidate != trial.candidate:
            self.stage(trial.candidate)
        return self.try_out(canary=trial.canary, mirror=trial.mirror)

    def let_go(self) -> None:
        """Unload steps whose version folders are gone."""
        for name in served_steps(self._configs(self.status().current)):
            self._control.load(name)

    def _switch(self, release: int) -> Trial:
        before, routed = current_release(self.repository), self.status()
        make_current(self.repository, release)
        try:
            names = self._load_public(release)
            self._check_answers(release)
        except MillirankError:
            make_current(self.repository, before)
            with suppress(MillirankError):
                self._load_public(before)
            raise
        if routed.canary or routed.mirror:
            time.sleep(FINISH_SECONDS)
        for name in names:
            for role in (CANDIDATE, CURRENT):
                self._control.unload(role_of(name, role))
        return Trial(release)

    def _load_public(self, release: int) -> list[str]:
        """Load what clients ask; the ensembles.

        Events of the release's types are taken before its answers are given.
        """
        configs = self._configs(release)
        names = list(ensembles(configs))
        for name in (*(n for n in configs if n == RECORD.name), *names):
            self._control.load(name)
        return names

    def _check_answers(self, release: int) -> None:
        """Raises: ReleaseError."""
        now = self.status()
        if now.current != release:
            raise ReleaseError(
                f"{self.address} was told to answer with release {release} and answers with "
                f"{now.current}; does it serve {self.repository}?"
            )

    def _load_steps(self, current: int, other: int) -> None:
        """Load the steps of both releases.

        Triton loads the two newest of a step that it finds, and leaves the one alone that is loaded
        already: so no others may be there.
        """
        for release in releases(self.repository):
            if release > min(current, other) and release not in (current, other):
                shelve(self.repository, release)
        for name in served_steps(self._configs(max(current, other))):
            self._control.load(name)

    def _loaded(self, current: int) -> list[int]:
        return self._control.versions(next(iter(served_steps(self._configs(current)))))

    def _configs(self, release: int) -> dict[str, Config]:
        return configs_of(self.repository, release, self._profile)

    def _staged(self) -> tuple[Trial, int]:
        now = self.status()
        if now.candidate is None:
            raise ReleaseError("no release is staged; begin with 'millirank release stage'")
        return now, now.candidate
