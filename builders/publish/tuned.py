"""A release with other serving settings: the same files, a manifest of its own."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builders.publish.release import publish
from builders.settings import Settings
from ensembles.errors import ReleaseError
from ensembles.fuse import FUSED
from serving.manifest import check, read_manifest
from serving.version_folders import link_release, models_of

_ELSEWHERE = {"visual_candidates": ("visual", "candidates")}
"""Settings that have another name than their knob; the others stand in ``[serving]``."""


def settings_of(repository: Path, release: int) -> Settings:
    """The settings that a release was built with, from its manifest.

    Raises:
        ReleaseError: the manifest holds none.
        SettingsError: they are those of another version of millirank.
    """
    manifest = read_manifest(repository, release)
    if "settings" not in manifest:
        raise ReleaseError(
            f"the manifest of release {release} in {repository} holds no settings; "
            "publish it with 'millirank build'"
        )
    return Settings.parse(manifest["settings"], origin=f"manifest of release {release}")


def publish_tuned(
    repository: Path, release: int, changed: Mapping[str, Any], evidence: Mapping[str, Any]
) -> tuple[int, str]:
    """Publish ``release`` once more, with ``changed`` knobs.

    Its files are hard links to those of ``release``, which stays as it is. The manifest says
    under ``tuned`` how the settings were found.

    Returns:
        The number of the new release, and the TOML lines with which a build makes the same.

    Raises:
        ReleaseError: the release is damaged, or the repository cannot be written.
    """
    about = {k: v for k, v in check(repository, release).items() if k not in ("release", "files")}
    sections = _sections(changed)
    raw = settings_of(repository, release).model_dump(mode="json")
    raw |= {name: {**raw[name], **values} for name, values in sections.items()}
    settings = Settings.parse(raw, origin="tuned settings")
    models = models_of(repository, release)
    if not settings.serving.fuse_steps:
        models = [model for model in models if model != FUSED]
    about |= {"settings": settings.model_dump(mode="json"), "tuned": dict(evidence)}
    folder = repository.resolve().parent
    with tempfile.TemporaryDirectory(dir=folder, prefix=".publishing-") as checked:
        link_release(repository, release, Path(checked), 1, models)
        number = publish(Path(checked), repository, settings, about, copy=os.link)
    return number, _as_toml(sections)


def _sections(changed: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Knobs as the settings that they come from, by section."""
    found: dict[str, dict[str, Any]] = {}
    for knob, value in changed.items():
        section, name = _ELSEWHERE.get(knob, ("serving", knob))
        found.setdefault(section, {})[name] = value
    return found


def _as_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Of plain values JSON writes what TOML does."""
    parts = (
        "\n".join([f"[{section}]", *(f"{n} = {json.dumps(v)}" for n, v in values.items())])
        for section, values in sections.items()
    )
    return "\n\n".join(parts)
