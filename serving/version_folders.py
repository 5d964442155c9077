"""The version folders of one release, taken elsewhere without a copy of their files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ensembles.errors import ReleaseError
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
