"""The version folders of one release: made current, or taken elsewhere without a copy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from compileall import compile_dir
from pathlib import Path

from ensembles.errors import ReleaseError
from ensembles.recommend import RECOMMEND
from serving.durable import replace_file
from serving.manifest import release_file
from serving.repository import current_release, releases


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
            content = (folder / path).read_bytes()
            # Of a step whose configuration is written anew, Triton loads every version anew.
            if not _holds(repository / path, content):
                replace_file(repository / path, content)
    except OSError as e:
        raise ReleaseError(
            f"cannot make release {release} current: {e.strerror} ({e.filename}); "
            "check permissions and free space, then try again"
        ) from e


def precompile(repository: Path, release: int) -> None:
    """Write the bytecode of a release beside its code, where that is possible.

    A server that wrote it when it loads the release would find it changed the next time, and load
    it anew.
    """
    for model in models_of(repository, release):
        compile_dir(repository / model / str(release), quiet=2)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def shelf_of(repository: Path) -> Path:
    """Where releases lie that were taken out of the repository."""
    return repository.resolve().parent / "shelved"


def only_one_waits(repository: Path, release: int) -> None:
    """Shelve what waits to be current beside ``release``.

    Triton loads the two newest versions of a step, and a server that starts needs the current one.

    Raises:
        ReleaseError: there is no current release, or another cannot be moved.
    """
    for other in releases(repository):
        if current_release(repository) < other < release:
            shelve(repository, other)


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
