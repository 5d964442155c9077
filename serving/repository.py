"""A model repository: which releases it holds, and which one is served."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ensembles.errors import ReleaseError
from ensembles.recommend import ENCODE_IMAGE, IMAGE_ENCODER, RECOMMEND, RECOMMEND_VISUAL
from ensembles.record import RECORD
from ensembles.render import PICTURE_CACHE

_SERVED = re.compile(r"^\s*versions:\s*(\d+)\s*$", re.MULTILINE)
_CACHE = re.compile(rf'key: "{PICTURE_CACHE}"\s+value {{\s+string_value: "(\d+)"')
_PINNED = re.compile(r"^\s*model_version:\s*(\d+)\s*$", re.MULTILINE)


def releases(repository: Path) -> list[int]:
    """Releases in ``repository``, oldest first."""
    folders = (repository / RECOMMEND.name).glob("*")
    return sorted(int(f.name) for f in folders if f.name.isdigit() and f.is_dir())


def current_release(repository: Path) -> int:
    """The release that the ensemble's configuration names: what a server serves.

    Raises:
        ReleaseError: there is none, or the configuration contradicts itself or the folders.
    """
    path = repository / RECOMMEND.name / "config.pbtxt"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as e:
        raise ReleaseError(
            f"expected a model repository, but {path} cannot be read ({e.strerror}); "
            "build one with 'millirank build'"
        ) from e
    named = {int(n) for pattern in (_SERVED, _PINNED) for n in pattern.findall(text)}
    if len(named) != 1:
        raise ReleaseError(
            f"{path}: expected one release for the ensemble and all of its steps, "
            f"found {sorted(named) or 'none'}"
        )
    release = named.pop()
    if release not in releases(repository):
        raise ReleaseError(
            f"{path} names release {release}, but the repository holds {releases(repository)}"
        )
    return release


def models_to_load(repository: Path) -> tuple[str, ...]:
    """The ensembles, whose steps Triton loads with them, and ``record``.

    ``*``, everything, for a repository that holds none of ours.
    """
    models = (m.name for m in (ENCODE_IMAGE, RECOMMEND_VISUAL, RECOMMEND, RECORD))
    there = tuple(n for n in models if (repository / n / "config.pbtxt").is_file())
    return there or ("*",)


def picture_cache_mb(repository: Path) -> int:
    """Memory that a release wants for the vectors of pictures that come again; 0 for none."""
    path = repository / IMAGE_ENCODER.name / "config.pbtxt"
    wanted = _CACHE.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    return int(wanted[1]) if wanted else 0


def titles(repository: Path, release: int) -> dict[str, str]:
    """Titles by external item id; empty where the repository is not at hand."""
    path = repository / RECOMMEND.name / str(release) / "catalogue.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}
