"""The stages of a build as data, from the log to a checked release."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from builders.settings import Settings
from builders.stages import Context, Stage

REPOSITORY = "repository"
"""Folder that the last stage leaves: a complete repository with the release as number 1."""
FIGURES = "figures.json"
"""What a stage leaves for the manifest."""
_FACTORS = "factors.npz"
_LSTM = "lstm"


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


def _dataset(c: Context) -> str:
    from builders.dataset.build import build_dataset

    data = build_dataset(c.settings, c.out, c.log)
    return f"{len(data.item):,} events of {data.users:,} users on {data.items:,} items"


def _retrieval(c: Context) -> str:
    from builders.dataset.dataset import Dataset
    from builders.retrieval.feature_step import open_feature_step
    from builders.retrieval.recall import recall_table
    from builders.retrieval.tables import write_tables

    data = Dataset.load(c.inputs["dataset"])
    factors = write_tables(data, c.settings, data.train_mask(), c.out / "tables")
    np.savez(c.out / _FACTORS, user=factors.user, item=factors.item)
    step = open_feature_step(c.out / "tables")
    recall = recall_table(data, step, c.settings.features.history)
    return "validation recall " + ", ".join(f"@{n} {share:.3f}" for n, share in recall.items())


def _train(c: Context) -> str:
    from builders.dataset.dataset import Dataset
    from builders.ranker.train_ranker import train_lstm, train_ranker
    from builders.ranker.weights import save_ranker

    data = Dataset.load(c.inputs["dataset"])
    tables = c.inputs["retrieval"] / "tables"
    trained = train_ranker(data, c.settings, tables, c.work, c.log)
    save_ranker(trained.saved, c.out)
    if c.settings.train.lstm_baseline:
        (c.out / _LSTM).mkdir()
        save_ranker(train_lstm(data, c.settings, tables, c.work, c.log), c.out / _LSTM)
    figures = {"epochs": trained.sequence.epochs, "minutes": trained.sequence.minutes}
    _write(c.out / FIGURES, figures)
    return f"{trained.sequence.epochs} epochs in {trained.sequence.minutes:.1f} min"


def _evaluate(c: Context) -> str:
    from builders.dataset.dataset import Dataset
    from builders.evaluation.quality import Subject, quality_table
    from builders.evaluation.quality_rows import write_quality
    from builders.ranker.weights import load_ranker
    from builders.retrieval.collaborative import Factors
    from builders.retrieval.feature_step import open_feature_step

    tables, weights = c.inputs["retrieval"], c.inputs["train"]
    with np.load(tables / _FACTORS, allow_pickle=False) as saved:
        factors = Factors(user=saved["user"], item=saved["item"])
    subject = Subject(
        dataset=Dataset.load(c.inputs["dataset"]),
        settings=c.settings,
        ranker=load_ranker(weights).ranker,
        step=open_feature_step(tables / "tables"),
        factors=factors,
        lstm=load_ranker(weights / _LSTM).ranker if (weights / _LSTM).is_dir() else None,
    )
    rows = quality_table(subject)
    write_quality(rows, c.out / FIGURES)
    end_to_end = rows[-1].test
    return f"test NDCG@10 {end_to_end.ndcg10:.4f} end to end, the rest in the table below"


def _export(c: Context) -> str:
    from builders.dataset.dataset import Dataset
    from builders.evaluation.retrieved import RetrievedCandidates
    from builders.export.torch2onnx import export
    from builders.export.verify import verify
    from builders.ranker.weights import load_ranker
    from builders.retrieval.feature_step import open_feature_step

    data = Dataset.load(c.inputs["dataset"])
    saved = load_ranker(c.inputs["train"])
    step = open_feature_step(c.inputs["retrieval"] / "tables")
    samples = RetrievedCandidates.of(data, step, c.settings, "validation")
    model = export(saved.ranker, saved.history, c.out, c.settings.export)
    differences = verify(saved.ranker, model, samples, c.settings.export)
    _write(c.out / FIGURES, differences)
    return (
        f"{model.stat().st_size / 1e6:.1f} MB of ONNX, largest difference from PyTorch "
        f"{max(differences.values()):.1e} (tolerance {c.settings.export.tolerance:g})"
    )


def _served_check(c: Context) -> str:
    from builders.dataset.dataset import Dataset
    from builders.export.torch2onnx import MODEL
    from builders.publish.offline import OfflinePipeline
    from builders.publish.release import assemble
    from builders.publish.served_check import served_check
    from builders.ranker.weights import load_ranker

    data = Dataset.load(c.inputs["dataset"])
    repository = c.out / REPOSITORY
    tables, model = c.inputs["retrieval"] / "tables", c.inputs["export"] / MODEL
    assemble(repository, c.settings, data, tables, c.inputs["train"], model)
    offline = OfflinePipeline(repository, load_ranker(c.inputs["train"]).ranker, data)
    limits = c.settings.export
    found = served_check(repository, data, offline, limits.tolerance, limits.check_users)
    _write(c.out / FIGURES, found.figures())
    return found.summary()


def _write(path: Path, figures: Any) -> None:
    path.write_text(json.dumps(figures), encoding="utf-8")


STAGES = (
    Stage(
        "dataset",
        _dataset,
        sections=("data", "clean", "split"),
        code=("builders/dataset",),
        fingerprint=_data,
    ),
    Stage(
        "retrieval",
        _retrieval,
        needs=("dataset",),
        sections=("features", "retrieval", "train.seed"),
        code=("builders/retrieval", "builders/dataset/features.py", "model_repository/features/1"),
    ),
    Stage(
        "train",
        _train,
        needs=("dataset", "retrieval"),
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
        "evaluate",
        _evaluate,
        needs=("dataset", "retrieval", "train"),
        sections=("features", "retrieval", "ranker.kind"),
        code=("builders/evaluation", "builders/retrieval"),
    ),
    Stage(
        "export",
        _export,
        needs=("dataset", "retrieval", "train"),
        sections=("export", "retrieval.candidates"),
        code=("builders/export",),
    ),
    Stage(
        "served_check",
        _served_check,
        needs=("dataset", "retrieval", "train", "export"),
        sections=("export", "serving", "features.history", "retrieval.candidates"),
        code=("builders/publish", "ensembles", "serving", "model_repository"),
    ),
)
