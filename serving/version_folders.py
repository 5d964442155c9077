"""The version folders of one release: made current, or taken elsewhere without a copy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ensembles.errors import ReleaseError
from ensembles.recommend import RECOMMEND
from serving.durable import replace_file
from serving.manifest import release_file


def models_of(repository: Path, release: int) -> list[str]:
    """Every model that has a version folder of the release."""
    return sorted(f.parent.name for f in repository.glob(f"*/{release}") if f.is_dir())


def link_release(
    repository: Path, release: int, target: Path, number: int, models: Sequence[str]
) -> None:
    """Make the version folders of ``models`` in ``target``, as release ``number``, of hard links.

    What servers left in them, and the manifest, stays behind.

    Raises:
        ReleaseError: they cannot be linked.
    """
    try:
        for model in models:
            source, folder = repository / model / str(release), target / model / str(number)
            folder.mkdir(parents=True)
            for path in (p for p in source.rglob("*") if release_file(repository, p)):
                there = folder / path.relative_to(source)
                there.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, there)
    except OSError as e:
        raise ReleaseError(
            f"cannot link release {release} of {repository} into {target}: {e.strerror} "
            f"({e.filename}); both must be on one file system that can be written"
        ) from e


def configs_folder(repository: Path, release: int) -> Path:
    """Where a release keeps its Triton configurations, by model, until it is current."""
    return repository / RECOMMEND.name / str(release) / "configs"


def make_current(repository: Path, release: int) -> None:
    """Have servers that start from now on serve ``release``.

    Its configurations are put in place one by one, that of ``recommend`` last: with it the
    release is current.

    Raises:
        ReleaseError: the release has none, or the repository cannot be written.
    """
    folder = configs_folder(repository, release)
    paths = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    if not paths:
        raise ReleaseError(
            f"expected the configurations of release {release} in {folder}, found none; "
            "publish the release again with 'millirank build'"
        )
    paths.sort(key=lambda path: path.parts[0] == RECOMMEND.name)
    try:
        for path in paths:
            replace_file(repository / path, (folder / path).read_bytes())
    except OSError as e:
        raise ReleaseError(
            f"cannot make release {release} current: {e.strerror} ({e.filename}); "
            "check permissions and free space, then try again"
        ) from e


def shelf_of(repository: Path) -> Path:
    """Where the releases go that failed, each in folders as in the repository."""
    return repository.parent / "shelved"


def shelve(repository: Path, release: int) -> Path:
    """Take a release that failed out of the repository, so that no server loads it.

    Returns:
        The folder that keeps it.

    Raises:
        ReleaseError: it cannot be moved.
    """
    shelf = shelf_of(repository)
    try:
        for model in models_of(repository, release):
            (shelf / model).mkdir(parents=True, exist_ok=True)
            (repository / model / str(release)).rename(shelf / model / str(release))
    except OSError as e:
        raise ReleaseError(
            f"cannot move release {release} to {shelf}: {e.strerror} ({e.filename}); "
            "check permissions, and that nothing of that name is there"
        ) from e
    return shelf
