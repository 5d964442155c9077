"""Assemble a release as a complete Triton repository, and publish it into the real one.

A release is one version folder of every step and of the ensemble, all with the same number.
It is assembled and checked in a repository of its own. Publishing renames its folders into place
first and writes the ensemble's configuration last: until then nobody sees the release. A version
is never overwritten: each release gets the next number.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from builders.dataset.dataset import Dataset
from builders.publish.about import write_about
from builders.publish.step_files import RankerFiles, VisualFiles, keeping_links, link_members
from builders.settings import Settings
from ensembles.errors import ReleaseError
from ensembles.fuse import FUSED
from ensembles.pipeline import Pipeline
from ensembles.profiles import Knobs
from ensembles.recommend import (
    ENCODE_IMAGE,
    FEATURES,
    IMAGE_ENCODER,
    PREPROCESS,
    RECOMMEND,
    RECOMMEND_VISUAL,
    chains,
    step_names,
)
from ensembles.record import RECORD
from ensembles.render import write_configs
from serving.durable import sync, sync_tree
from serving.manifest import write_manifest
from serving.release.lock import release_lock
from serving.version_folders import (
    configs_folder,
    make_current,
    models_of,
    only_one_waits,
    precompile,
    shelf_of,
)

SOURCE = Path(__file__).resolve().parents[2] / "model_repository"
"""The source of every step: ``STEP/1``."""

ITEM_VECTORS = Path("tables", "item_vectors.npy")
"""In the features step's version folder, where the ranker's graph does not hold its item table."""
_VISUAL = (ENCODE_IMAGE.name, RECOMMEND_VISUAL.name, PREPROCESS.name, IMAGE_ENCODER.name)


def knobs_of(settings: Settings) -> Knobs:
    """Serving settings of a build, as Triton configurations take them."""
    s = settings.serving
    return Knobs(
        instances=s.instances,
        ranker_threads=s.ranker_threads,
        max_batch=s.max_batch,
        max_queue_size=s.max_queue_size,
        queue_timeout_ms=s.queue_timeout_ms,
        max_queue_delay_us=s.max_queue_delay_us,
        state_timeout_ms=s.state_timeout_ms,
        history=settings.features.history,
        candidates=settings.retrieval.candidates,
        image_size=settings.visual.size,
        visual_weight=settings.visual.weight,
        visual_candidates=settings.visual.candidates,
        picture_cache_mb=s.picture_cache_mb,
        record=settings.record.recording(settings.data.event_weights),
    )


def chains_of(
    repository: Path, release: int, settings: Settings
) -> tuple[tuple[Pipeline, ...], Knobs]:
    """The ensembles that a release needs, by what lies in its version folders."""
    fused = (repository / FUSED / str(release)).is_dir()
    knobs = replace(knobs_of(settings), fuse_steps=fused)
    if not (repository / RECORD.name / str(release)).is_dir():  # a release from before it
        knobs = replace(knobs, record=None)
    table = repository / FEATURES.name / str(release) / ITEM_VECTORS
    lookup = table.is_file()
    if lookup:
        width = np.load(table, mmap_mode="r", allow_pickle=False).shape[1]
        knobs = replace(knobs, vector_width=width)
    visual = (repository / IMAGE_ENCODER.name / str(release)).is_dir()
    return chains(lookup=lookup, visual=visual), knobs


def next_release(repository: Path) -> int:
    """One more than the highest version of any model in ``repository``, from 1.

    A number that a shelved release had is not given again: its figures bear it.
    """
    folders = (f for root in (repository, shelf_of(repository)) for f in root.glob("*/*"))
    taken = [int(folder.name) for folder in folders if folder.name.isdigit()]
    return max(taken, default=0) + 1


def assemble(
    staging: Path,
    settings: Settings,
    dataset: Dataset,
    tables: Path,
    ranker: RankerFiles,
    visual: VisualFiles | None = None,
) -> None:
    """Write a complete repository, with the release as number 1, into the folder ``staging``.

    Args:
        tables: feature tables, as ``builders.retrieval`` writes them.
        ranker: what the ranker step loads.
        visual: None for a release that takes no pictures.
    """
    steps = step_names(chains(lookup=False, visual=visual is not None))
    for step in (*steps, RECORD.name, *([FUSED] if settings.serving.fuse_steps else [])):
        shutil.copytree(
            SOURCE / step / "1",
            staging / step / "1",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    features = staging / FEATURES.name / "1"
    shutil.copytree(tables, features / "tables")
    settings.explore.write(dataset, features / "tables")
    ranker.copy(staging / "ranker" / "1", features / ITEM_VECTORS)
    names = staging / "policy" / "1" / "tables"
    names.mkdir()
    shutil.copy2(tables / "item_ids.json", names / "item_ids.json")
    if visual is not None:
        visual.copy(staging)
    if settings.serving.fuse_steps:
        link_members(staging, 1)
    write_about(staging / RECOMMEND.name / "1", settings, dataset)
    pipelines, knobs = chains_of(staging, 1, settings)
    write_configs(staging, pipelines, 1, knobs)


def publish(
    checked: Path,
    repository: Path,
    settings: Settings,
    about: Mapping[str, Any],
    copy: Callable[[str, str], object] | None = None,
    *,
    current: bool = True,
) -> int:
    """Copy the checked release 1 of ``checked`` into ``repository`` as its next release.

    Args:
        current: a server that starts serves it; otherwise it waits for `millirank release`, in
            the place of one that waited before. The first release of all is current at once.
        about: what the manifest says of the release, beside the hashes of its files.
        copy: copies a file; by default so that linked ones are linked again.

    Returns:
        The number of the release.

    Raises:
        ReleaseError: the repository cannot be written, serves pictures that the release does
            not take, or a release is being tried that this one would take the place of.
    """
    if not (repository / RECOMMEND.name / "config.pbtxt").is_file():
        current = True
    with nullcontext() if current else release_lock(repository):
        release = _publish(checked, repository, settings, about, copy, current=current)
        if not current:
            only_one_waits(repository, release)
    return release


def _publish(
    checked: Path,
    repository: Path,
    settings: Settings,
    about: Mapping[str, Any],
    copy: Callable[[str, str], object] | None,
    *,
    current: bool,
) -> int:
    release, models = next_release(repository), models_of(checked, 1)
    _keep_taking_pictures(repository, models)
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=repository.parent, prefix=".publishing-") as folder:
            staging = Path(folder)
            copy = copy or keeping_links()
            for model in models:
                target = staging / model / str(release)
                shutil.copytree(checked / model / "1", target, copy_function=copy)
            _write_own_configs(staging, release, settings)
            write_manifest(staging, release, about)
            sync_tree(staging)
            for model in models:
                (repository / model).mkdir(exist_ok=True)
                (staging / model / str(release)).rename(repository / model / str(release))
                sync(repository / model)
        precompile(repository, release)
        if current:
            make_current(repository, release)
    except OSError as e:
        raise ReleaseError(
            f"cannot publish into {repository}: {e.strerror} ({e.filename}); "
            "check permissions and free space, then build again"
        ) from e
    return release


def _keep_taking_pictures(repository: Path, models: list[str]) -> None:
    """Steps that stay at an older release would lose the versions of the others beside them."""
    left = sorted(m for m in _VISUAL if (repository / m).is_dir() and m not in models)
    if left:
        raise ReleaseError(
            f"{repository} serves pictures ({', '.join(left)}) and the new release takes none; "
            "keep data.images or visual.covers, or build into another folder with --out"
        )


def _write_own_configs(staging: Path, release: int, settings: Settings) -> None:
    """Keep the configurations with the release: who makes it current needs no builder."""
    pipelines, knobs = chains_of(staging, release, settings)
    folder = configs_folder(staging, release)
    # A tuned release has links here to those of another one.
    shutil.rmtree(folder, ignore_errors=True)
    write_configs(folder, pipelines, release, knobs)
