"""Assemble a release as a complete Triton repository, and publish it into the real one.

A release is one version folder of every step and of the ensemble, all with the same number.
It is assembled and checked in a repository of its own. Publishing renames its folders into place
first and writes the ensemble's configuration last: until then nobody sees the release. A version
is never overwritten: each release gets the next number.
"""

from __future__ import annotations

import filecmp
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from builders.dataset.dataset import Dataset
from builders.export.item_lookup import table_of
from builders.export.torch2onnx import MODEL
from builders.ranker.weights import DESCRIPTION, UNCOMPRESSED, WEIGHTS
from builders.settings import Settings
from builders.stages import sync, sync_tree
from ensembles.errors import ReleaseError
from ensembles.pipeline import Pipeline
from ensembles.profiles import Knobs
from ensembles.recommend import RECOMMEND, RECOMMEND_LOOKUP
from ensembles.render import render_pipeline, write_configs
from serving.manifest import write_manifest

SOURCE = Path(__file__).resolve().parents[2] / "model_repository"
"""The source of every step: ``STEP/1``."""

_STEPS = [step.name for step in RECOMMEND.steps]
_ITEM_VECTORS = Path("tables", "item_vectors.npy")
"""In the features step's version folder, where the ranker's graph does not hold its item table."""


def knobs_of(settings: Settings) -> Knobs:
    """Serving settings of a build, as Triton configurations take them."""
    s = settings.serving
    return Knobs(
        instances=s.instances,
        ranker_threads=s.ranker_threads,
        max_batch=s.max_batch,
        max_queue_size=s.max_queue_size,
        queue_timeout_ms=s.queue_timeout_ms,
        history=settings.features.history,
        candidates=settings.retrieval.candidates,
    )


def chain_of(features: Path, settings: Settings) -> tuple[Pipeline, Knobs]:
    """The form of the chain that a release needs, by the version folder of its features step."""
    knobs = knobs_of(settings)
    if not (features / _ITEM_VECTORS).is_file():
        return RECOMMEND, knobs
    table = np.load(features / _ITEM_VECTORS, mmap_mode="r", allow_pickle=False)
    return RECOMMEND_LOOKUP, replace(knobs, vector_width=table.shape[1])


def next_release(repository: Path) -> int:
    """One more than the highest version of any model in ``repository``, from 1."""
    taken = [
        int(folder.name)
        for model in [*_STEPS, RECOMMEND.name]
        for folder in repository.glob(f"{model}/*")
        if folder.name.isdigit()
    ]
    return max(taken, default=0) + 1


@dataclass(frozen=True)
class RankerFiles:
    """Folders with what makes a ranker's version folder.

    Attributes:
        compressed: ``model.onnx`` as it is served, with its item table beside it where the
            graph does not hold it, and the weights it was made from.
        gpu: graph and engine of the gpu profile.
        uncompressed: weights that compression started from, for a later warm start.
    """

    compressed: Path
    gpu: Path
    uncompressed: Path

    def copy(self, version: Path, item_vectors: Path) -> None:
        """Write them into the version folder of the step ``ranker``.

        Args:
            item_vectors: where the item table goes, if the graph does not hold it.
        """
        for name in (MODEL, WEIGHTS, DESCRIPTION):
            shutil.copy2(self.compressed / name, version / name)
        table = table_of(self.compressed / MODEL)
        if table.is_file():
            shutil.copy2(table, item_vectors)
        shutil.copytree(self.gpu, version / "gpu")
        original = self.uncompressed / WEIGHTS
        if not filecmp.cmp(self.compressed / WEIGHTS, original, shallow=False):
            (version / UNCOMPRESSED).mkdir()
            for name in (WEIGHTS, DESCRIPTION):
                shutil.copy2(self.uncompressed / name, version / UNCOMPRESSED / name)


def assemble(
    staging: Path, settings: Settings, dataset: Dataset, tables: Path, ranker: RankerFiles
) -> None:
    """Write a complete repository, with the release as number 1, into the folder ``staging``.

    Args:
        tables: feature tables, as ``builders.retrieval`` writes them.
        ranker: what the ranker step loads.
    """
    for step in _STEPS:
        shutil.copytree(
            SOURCE / step / "1",
            staging / step / "1",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    features = staging / "features" / "1"
    shutil.copytree(tables, features / "tables")
    ranker.copy(staging / "ranker" / "1", features / _ITEM_VECTORS)
    names = staging / "policy" / "1" / "tables"
    names.mkdir()
    shutil.copy2(tables / "item_ids.json", names / "item_ids.json")
    _write_about(staging / RECOMMEND.name / "1", settings, dataset)
    pipeline, knobs = chain_of(features, settings)
    write_configs(staging, pipeline, 1, knobs)


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


def publish(checked: Path, repository: Path, settings: Settings, about: Mapping[str, Any]) -> int:
    """Copy the checked release 1 of ``checked`` into ``repository`` as its next, current release.

    Args:
        about: what the manifest says of the release, beside the hashes of its files.

    Returns:
        The number of the release.

    Raises:
        ReleaseError: the repository cannot be written.
    """
    release = next_release(repository)
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=repository.parent, prefix=".publishing-") as folder:
            staging = Path(folder)
            for model in [*_STEPS, RECOMMEND.name]:
                shutil.copytree(checked / model / "1", staging / model / str(release))
            write_manifest(staging, release, about)
            sync_tree(staging)
            for model in [*_STEPS, RECOMMEND.name]:
                (repository / model).mkdir(exist_ok=True)
                (staging / model / str(release)).rename(repository / model / str(release))
                sync(repository / model)
        _make_current(repository, release, settings)
    except OSError as e:
        raise ReleaseError(
            f"cannot publish into {repository}: {e.strerror} ({e.filename}); "
            "check permissions and free space, then build again"
        ) from e
    return release


def _make_current(repository: Path, release: int, settings: Settings) -> None:
    """Write the configurations; the ensemble's comes last, and with it the release is current."""
    pipeline, knobs = chain_of(repository / "features" / str(release), settings)
    files = render_pipeline(pipeline, release, knobs)
    ensemble = Path(RECOMMEND.name, "config.pbtxt")
    for path in [*(p for p in files if p != ensemble), ensemble]:
        _replace(repository / path, files[path])


def _replace(path: Path, text: str) -> None:
    """Write ``path`` so that a reader sees the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    sync(partial)
    partial.replace(path)
    sync(path.parent)
