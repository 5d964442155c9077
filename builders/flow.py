"""The stages of a build as data, from the log to a checked release."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from builders import stage_work as work
from builders.settings import Settings
from builders.stages import Stage


def source_hashes(settings: Settings) -> dict[str, str]:
    """SHA-256 of each source file, by its name."""
    from builders.dataset.build import source_files

    return {p.name: sha256(p.read_bytes()).hexdigest() for p in source_files(settings)}


def _data(settings: Settings) -> str:
    return json.dumps(source_hashes(settings), sort_keys=True)


def _warm_start(settings: Settings) -> str:
    """Hash of the weights that training starts from."""
    if not settings.train.warm_start:
        return ""
    from builders.ranker.transfer import find_ranker
    from builders.ranker.weights import WEIGHTS

    folder = find_ranker(Path(settings.train.warm_start))
    return sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def _engine_builder(settings: Settings) -> str:
    """The TensorRT of this machine: once it is installed, the engines are built."""
    del settings
    from builders.export.tensorrt import builder_here

    return builder_here()


def _pictures(settings: Settings) -> str:
    """The pictures, the encoder's weights, and what would build its engine."""
    if not settings.has_pictures:
        return ""
    from builders.visual.pictures import picture_hash

    weights = Path(settings.visual.weights)
    known = sha256(weights.read_bytes()).hexdigest() if weights.is_file() else ""
    return f"{picture_hash(settings)} {known} {_engine_builder(settings)}"


STAGES = (
    Stage(
        "dataset",
        work.dataset,
        sections=(
            "data.catalogue_items",
            "data.category_separator",
            "data.columns",
            "data.event_weights",
            "data.feedback",
            "data.format",
            "data.path",
            "data.wheel",
            "clean",
            "split",
        ),
        code=("builders/dataset",),
        fingerprint=_data,
    ),
    Stage(
        "retrieval",
        work.retrieval,
        needs=("dataset",),
        sections=("features", "retrieval", "train.seed"),
        code=("builders/retrieval", "builders/dataset/features.py", "model_repository/features/1"),
    ),
    Stage(
        "visual",
        work.visual,
        needs=("dataset",),
        sections=(
            "compress.batch",
            "compress.max_quality_loss",
            "compress.min_gain",
            "compress.rounds",
            "data.images",
            "export",
            "serving.max_batch",
            "serving.ranker_threads",
            "train.seed",
            "visual.backbone",
            "visual.calibration_pictures",
            "visual.covers",
            "visual.gate_pictures",
            "visual.index",
            "visual.quantise",
            "visual.size",
            "visual.weights",
            "visual.width",
        ),
        code=(
            "builders/visual",
            "builders/compress/gates.py",
            "builders/compress/half_precision.py",
            "builders/export",
            "model_repository/preprocess/1",
            "model_repository/image_encoder/1",
            "serving/engine",
        ),
        fingerprint=_pictures,
    ),
    Stage(
        "train",
        work.train,
        needs=("dataset", "retrieval"),
        needs_too=lambda settings: ("visual",) if "image" in settings.ranker.fuse else (),
        sections=("features", "augment", "ranker", "train"),
        code=(
            "builders/ranker",
            "builders/evaluation",
            "builders/retrieval",
            "builders/dataset/augment.py",
            "model_repository/features/1",
        ),
        fingerprint=_warm_start,
    ),
    Stage(
        "compress",
        work.compress,
        needs=("dataset", "retrieval", "train"),
        sections=(
            "compress",
            "export.max_item_table_mb",
            "export.opset",
            "export.tolerance",
            "features.history",
            "retrieval.candidates",
            "serving.ranker_threads",
            "train",
        ),
        code=(
            "builders/compress/*.py",
            "builders/export",
            "builders/ranker",
            "builders/evaluation",
        ),
    ),
    Stage(
        "export",
        work.export,
        needs=("dataset", "retrieval", "train", "compress"),
        sections=("export", "compress.max_quality_loss", "serving.max_batch"),
        code=("builders/export", "builders/compress/*.py", "serving/engine"),
        fingerprint=_engine_builder,
    ),
    Stage(
        "evaluate",
        work.evaluate,
        needs=("dataset", "retrieval", "train", "compress"),
        sections=("features", "retrieval", "ranker.kind"),
        code=("builders/evaluation", "builders/retrieval", "builders/compress/*.py"),
    ),
    Stage(
        "served_check",
        work.served_check,
        needs=("dataset", "retrieval", "visual", "train", "compress", "export"),
        sections=(
            *("export", "serving", "visual", "record", "explore"),
            *("features.history", "retrieval.candidates"),
        ),
        code=("builders/publish", "ensembles", "serving", "model_repository"),
    ),
)
