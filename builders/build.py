"""A build: run the stages, then publish what they checked."""

from __future__ import annotations

import shutil
from pathlib import Path

from builders.built import Built, build_checked
from builders.settings import Settings
from builders.stages import Log, build_lock
from ensembles.errors import ReleaseError
from serving.manifest import check
from serving.repository import current_release


def run_build(settings: Settings, folder: Path, command: str, log: Log) -> Path:
    """Build ``settings`` in ``folder`` and publish the release into ``folder/repository``.

    Args:
        command: what makes the release again, for the manifest.
        log: prints one line.

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
        current = _published(repository, built.key)
        if current:
            log(f"nothing changed: release {current} in {repository} is this build's")
            return repository
        # Before the release: without its users it would be current and useless.
        users = _seed(built, folder / "state")
        release = publish(built.checked, repository, settings, built.manifest())
        shutil.copy2(built.outputs["dataset"] / REJECTS, folder / REJECTS)
        log(f"published release {release} in {repository}; user state of {users:,} users beside it")
    return repository


def _published(repository: Path, build_key: str) -> int:
    """The current release, if this very build made it and it is whole; else 0."""
    if not repository.exists():
        return 0
    try:
        release = current_release(repository)
        manifest = check(repository, release)
    except ReleaseError:
        return 0
    return release if manifest.get("build_key") == build_key else 0


def _seed(built: Built, state: Path) -> int:
    from builders.publish.user_state import seed_state

    held_out = built.settings.serving.hold_out_test
    return seed_state(state, built.checked, built.dataset(), hold_out_test=held_out)
