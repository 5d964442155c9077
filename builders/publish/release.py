"""Assemble a release as a complete Triton repository, and publish it into the real one.

A release is one version folder of every step and of the ensemble, all with the same number.
Publishing renames the steps' folders into place first and writes the ensemble's configuration
last: until then nobody sees the release, and a version is never overwritten.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from builders.dataset.dataset import Dataset
from builders.settings import Settings
from builders.stages import sync_tree
from ensembles.errors import ReleaseError
from ensembles.profiles import Knobs
from ensembles.recommend import RECOMMEND
from ensembles.render import render_pipeline, write_configs

SOURCE = Path(__file__).resolve().parents[2] / "model_repository"
"""The source of every step: ``STEP/1``."""

_STEPS = [step.name for step in RECOMMEND.steps]


def knobs_of(settings: Settings) -> Knobs:
    """Serving settings of a build, as Triton configurations take them."""
    s = settings.serving
    return Knobs(
        instances=s.instances,
        ranker_threads=s.ranker_threads,
        max_batch=s.max_batch,
        max_queue_size=s.max_queue_size,
        queue_timeout_ms=s.queue_timeout_ms,
    )


def next_release(repository: Path) -> int:
    """One more than the highest version of any model in ``repository``, from 1."""
    taken = [
        int(folder.name)
        for model in [*_STEPS, RECOMMEND.name]
        for folder in repository.glob(f"{model}/*")
        if folder.name.isdigit()
    ]
    return max(taken, default=0) + 1


def assemble(
    staging: Path, release: int, settings: Settings, dataset: Dataset, tables: Path, onnx: Path
) -> None:
    """Write the repository of ``release`` alone into the empty folder ``staging``.

    Args:
        tables: feature tables, as ``builders.retrieval`` writes them.
        onnx: the exported ranker.
    """
    for step in _STEPS:
        shutil.copytree(
            SOURCE / step / "1",
            staging / step / str(release),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copytree(tables, staging / "features" / str(release) / "tables")
    shutil.copy2(onnx, staging / "ranker" / str(release) / "model.onnx")
    names = staging / "policy" / str(release) / "tables"
    names.mkdir()
    shutil.copy2(tables / "item_ids.json", names / "item_ids.json")
    _write_about(staging / RECOMMEND.name / str(release), settings, dataset)
    write_configs(staging, RECOMMEND, release, knobs_of(settings))


def _write_about(folder: Path, settings: Settings, dataset: Dataset) -> None:
    """What a person or a load test needs to know: titles, and who was held out with what."""
    folder.mkdir(parents=True)
    catalogue = dict(zip(dataset.item_ids[1:], dataset.titles[1:], strict=True))
    _write_json(folder / "catalogue.json", catalogue)
    users, items = dataset.targets("test")
    held_out = users if settings.serving.hold_out_test else users[:0]
    holdout = {
        "users": [dataset.user_ids[u] for u in held_out],
        "items": [dataset.item_ids[i] for i in items[: len(held_out)]],
    }
    _write_json(folder / "holdout.json", holdout)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def publish(staging: Path, repository: Path, release: int, settings: Settings) -> None:
    """Move ``release`` from ``staging`` into ``repository`` and make it current.

    Raises:
        ReleaseError: the repository cannot be written, or already holds this version.
    """
    try:
        sync_tree(staging)
        for model in [*_STEPS, RECOMMEND.name]:
            target = repository / model / str(release)
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise ReleaseError(f"{target} exists; a published version is never overwritten")
            (staging / model / str(release)).rename(target)
        files = render_pipeline(RECOMMEND, release, knobs_of(settings))
        ensemble = Path(RECOMMEND.name, "config.pbtxt")
        for path in [*(p for p in files if p != ensemble), ensemble]:
            _replace(repository / path, files[path])
        sync_tree(repository)
    except OSError as e:
        raise ReleaseError(f"cannot publish into {repository}: {e.strerror} ({e.filename})") from e


def _replace(path: Path, text: str) -> None:
    """Write ``path`` so that a reader sees the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(path)
