"""Stage a release beside the one that answers, try it on some users, make it the one, or go back.

Every step is pinned by the ensembles, so a release changes as a whole: with one load of each
ensemble, ``recommend`` last, while requests in flight end on what they began with. While a release
is tried, a router stands in the place of each ensemble that is asked for users.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ensembles.errors import ReleaseError
from ensembles.recommend import ENCODE_IMAGE
from serving.manifest import check
from serving.release.configs import (
    Config,
    configs_of,
    ensembles,
    served_steps,
    with_versions,
)
from serving.release.control import Control
from serving.release.memory import check_room
from serving.release.router import router_config, router_files
from serving.release.trial import CANDIDATE, CURRENT, Trial, role_of
from serving.repository import releases
from serving.version_folders import make_current, shelve


class Rollout:
    """The releases of one server.

    Args:
        repository: that the server serves, on a file system that both see.
        profile: that the server was started with.
    """

    def __init__(self, repository: Path, control: Control, profile: str = "cpu") -> None:
        self.repository = repository
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
        check_room(self.repository, candidate)
        if now.candidate is not None:
            now = self.withdraw()
        self._load_steps(now.current, candidate)
        for role, release in ((CURRENT, now.current), (CANDIDATE, candidate)):
            for name, config in ensembles(self._configs(release)).items():
                # Under a name of its own, out of no folder.
                own = {**with_versions(config, 1), "name": role_of(name, role)}
                self._control.load(own["name"], own, {"1/none": b""})
        return replace(now, candidate=candidate)

    def try_out(self, *, canary: float = 0.0, mirror: float = 0.0) -> Trial:
        """Have the staged release answer a share of the users, or hear a share of their requests.

        Raises:
            ReleaseError: none is staged, or a share is not from 0 to 1.
            ServerError: the router does not load; what was served goes on.
        """
        now, configs = self._staged()
        if not (0 <= canary <= 1 and 0 <= mirror <= 1):
            raise ReleaseError(f"a share is from 0 to 1; got {canary:g} and {mirror:g}")
        trial = replace(now, canary=canary, mirror=mirror)
        for name, config in ensembles(configs).items():
            if name != ENCODE_IMAGE.name:
                self._control.load(name, router_config(config, trial), router_files(now.current))
        return trial

    def promote(self) -> Trial:
        """Have the staged release answer everybody, now and after a restart.

        The release that answered stays loaded until another is staged.

        Raises:
            ReleaseError: none is staged, or the repository cannot be written.
        """
        now, configs = self._staged()
        assert now.candidate is not None
        return self._switch(now.candidate, configs)

    def withdraw(self) -> Trial:
        """End the trial; the release that answered before answers everybody."""
        current = self.status().current
        return self._switch(current, self._configs(current))

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
        return self._switch(release, self._configs(release))

    def _switch(self, release: int, configs: dict[str, Config]) -> Trial:
        make_current(self.repository, release)
        for name in ensembles(configs):
            self._control.load(name)
        for name in ensembles(configs):
            for role in (CANDIDATE, CURRENT):
                self._control.unload(role_of(name, role))
        return Trial(release)

    def _load_steps(self, current: int, other: int) -> None:
        """Load the steps of both releases.

        Triton loads the two newest of a step that it finds, and leaves the one alone that is loaded
        already: so no others may be there.
        """
        newest = max(current, other)
        for release in releases(self.repository):
            if release > min(current, other) and release not in (current, other):
                shelve(self.repository, release)
        for name in served_steps(self._configs(newest)):
            self._control.load(name)

    def _configs(self, release: int) -> dict[str, Config]:
        return configs_of(self.repository, release, self._profile)

    def _staged(self) -> tuple[Trial, dict[str, Config]]:
        now = self.status()
        if now.candidate is None:
            raise ReleaseError("no release is staged; begin with 'millirank release stage'")
        return now, self._configs(now.candidate)
