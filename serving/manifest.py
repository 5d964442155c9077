"""The manifest of a release: what every file must be, and how the release came to be.

It stands in the ensemble's version folder and covers the version folders of all models. What a
server leaves there is not part of a release: bytecode beside the code, engines that were built
for this machine, and the link to the engine that is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import file_digest
from pathlib import Path
from typing import Any

from ensembles.errors import ReleaseError
from ensembles.recommend import RECOMMEND

NAME = "manifest.json"
ENGINE_CACHE = "engine_cache"
"""Folder for engines that were built where the release is served."""
_LEFT_BY_SERVERS = {"__pycache__", ENGINE_CACHE}
_ENGINE_LINK = "model.plan"


def manifest_path(repository: Path, release: int) -> Path:
    """Where the manifest of ``release`` stands."""
    return repository / RECOMMEND.name / str(release) / NAME


def write_manifest(repository: Path, release: int, about: Mapping[str, Any]) -> Path:
    """Hash every file of ``release`` and write its manifest, last of all its files.

    Args:
        about: tool versions, settings, metrics, command: anything that JSON can hold.

    Raises:
        ReleaseError: the release has no files, or ``about`` uses a name of the manifest's own.
    """
    files = {_name(repository, path): _describe(path) for path in _files(repository, release)}
    if not files:
        raise ReleaseError(f"expected the files of release {release} in {repository}, found none")
    own = {"release": release, "files": files}
    if taken := sorted(own.keys() & about.keys()):
        raise ReleaseError(f"a manifest writes {', '.join(taken)} itself; choose another name")
    path = manifest_path(repository, release)
    text = json.dumps({**about, **own}, indent=1, ensure_ascii=False, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def read_manifest(repository: Path, release: int) -> dict[str, Any]:
    """The manifest of ``release``.

    Raises:
        ReleaseError: it is missing or no manifest.
    """
    path = manifest_path(repository, release)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["release"] != release or not isinstance(manifest["files"], dict):
            raise ValueError(f"it describes release {manifest['release']}")
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ReleaseError(
            f"{path} is no manifest of release {release} ({e}); "
            "publish the release again with 'millirank build'"
        ) from e
    return dict(manifest)


def check(repository: Path, release: int) -> dict[str, Any]:
    """Compare every file of ``release`` with its manifest; the manifest.

    Raises:
        ReleaseError: names the first file that is missing, altered or not part of the release.
    """
    manifest = read_manifest(repository, release)
    expected: dict[str, Any] = manifest["files"]
    there = {_name(repository, path): path for path in _files(repository, release)}
    advice = f"release {release} is damaged; publish it again with 'millirank build'"
    for name in sorted(expected.keys() - there.keys()):
        raise ReleaseError(f"{repository / name} is missing; {advice}")
    for name in sorted(there.keys() - expected.keys()):
        raise ReleaseError(f"{there[name]} is not in the manifest of its release; {advice}")
    for name, path in sorted(there.items()):
        found = _describe(path)
        if found != expected[name]:
            raise ReleaseError(
                f"{path} was altered: expected {expected[name]}, found {found}; {advice}"
            )
    return manifest


def release_file(repository: Path, path: Path) -> bool:
    """Whether a path in a version folder is a file of the release, and not left by a server."""
    left = not _LEFT_BY_SERVERS.isdisjoint(path.relative_to(repository).parts)
    link = path.name == _ENGINE_LINK and path.is_symlink()
    return path.is_file() and not left and not link and path.name != NAME


def _files(repository: Path, release: int) -> Iterator[Path]:
    found = sorted(repository.glob(f"*/{release}/**/*"))
    return (path for path in found if release_file(repository, path))


def _name(repository: Path, path: Path) -> str:
    return path.relative_to(repository).as_posix()


def _describe(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return {"bytes": path.stat().st_size, "sha256": file_digest(file, "sha256").hexdigest()}
    except OSError as e:
        raise ReleaseError(f"{path} cannot be read: {e.strerror}") from e
