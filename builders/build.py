"""A build: run the stages, then publish what they checked."""

from __future__ import annotations

import shutil
from pathlib import Path

from builders.built import Built, build_checked
from builders.settings import Settings
from builders.stages import Log, build_lock
from ensembles.errors import ReleaseError
from serving.manifest import check
from serving.repository import current_release, releases


def run_build(
    settings: Settings, folder: Path, command: str, log: Log, *, stage: bool = False
) -> Path:
    """Build ``settings`` in ``folder`` and publish the release into ``folder/repository``.

    Args:
        command: what makes the release again, for the manifest.
        log: prints one line.
        stage: the release waits for `millirank release`, and is not current.

    Returns:
        The repository.

    Raises:
        MillirankError: whatever the stages raise.
    """
    from builders.dataset.build import REJECTS
    from builders.publish.release import publish

    repository = folder / "repository"
    with build_lock(folder):
        built = build_checked(settings, folder, command, log)
        there = _published(repository, built.key, stage=stage)
        if there:
            log(f"nothing changed: release {there} in {repository} is this build's")
            return repository
        # Before the release: without its users it would be current and useless.
        users = _seed(built, folder / "state")
        release = publish(built.checked, repository, settings, built.manifest(), current=not stage)
        shutil.copy2(built.outputs["dataset"] / REJECTS, folder / REJECTS)
        log(f"published release {release} in {repository}; user state of {users:,} users beside it")
        if release != current_release(repository):
            log("it is not current: 'millirank release stage' takes it into a running server")
    return repository


def _published(repository: Path, build_key: str, *, stage: bool) -> int:
    """The current release, or the one that waits, if this very build made it; else 0."""
    if not repository.exists():
        return 0
    try:
        release = releases(repository)[-1] if stage else current_release(repository)
        manifest = check(repository, release)
    except (ReleaseError, IndexError):
        return 0
    return release if manifest.get("build_key") == build_key else 0


def _seed(built: Built, state: Path) -> int:
    from builders.publish.user_state import seed_state

    held_out = built.settings.serving.hold_out_test
    return seed_state(state, built.checked, built.dataset(), hold_out_test=held_out)
