"""What each stage of a build does: reads its inputs, writes its folder, returns a summary line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.stages import Context

if TYPE_CHECKING:
    from builders.compress.interface import CompressionData

REPOSITORY = "repository"
"""Folder that the last stage leaves: a complete repository with the release as number 1."""
FIGURES = "figures.json"
"""What a stage leaves for the manifest."""
_GPU = "gpu"
"""Folder of the stage ``export`` with the graph and engine for the gpu profile."""
_UNCOMPRESSED = "uncompressed.onnx"
_FACTORS = "factors.npz"
_LSTM = "lstm"
_PARTS = "item_parts.safetensors"
"""What the item table of a fused ranker is the sum of."""


def dataset(c: Context) -> str:
    """Read, clean and split the log."""
    from builders.dataset.build import build_dataset

    data = build_dataset(c.settings, c.out, c.log)
    return f"{len(data.item):,} events of {data.users:,} users on {data.items:,} items"


def retrieval(c: Context) -> str:
    """Collaborative filtering, and the feature tables that are served."""
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


def visual(c: Context) -> str:
    """Pictures of the items: found or drawn, encoded, indexed."""
    from builders.dataset.dataset import Dataset
    from builders.visual.encoder import build_encoder
    from builders.visual.index import write_index
    from builders.visual.pictures import find_pictures
    from builders.visual.shown import COVERS, write_shown

    if not c.settings.has_pictures:
        return "no pictures"
    data = Dataset.load(c.inputs["dataset"])
    pictures = find_pictures(data, c.settings, c.out / COVERS, c.log)
    found = build_encoder(pictures, c.settings, c.out, c.work, c.log)
    indexed = write_index(found.vectors, c.settings.visual.index, c.out)
    write_shown(data, pictures, found.vectors, c.out)
    _write(c.out / FIGURES, found.to_json())
    return f"{found.summary()}; {indexed:,} items in the index"


def train(c: Context) -> str:
    """The ranker: sequence model, then the hybrid head."""
    from builders.dataset.dataset import Dataset
    from builders.ranker.train_ranker import train_lstm, train_ranker
    from builders.ranker.weights import save_ranker, write_tensors
    from builders.visual.index import VECTORS

    data = Dataset.load(c.inputs["dataset"])
    tables = c.inputs["retrieval"] / "tables"
    pictures = c.inputs["visual"] / VECTORS if "visual" in c.inputs else None
    trained = train_ranker(data, c.settings, tables, c.work, c.log, pictures)
    save_ranker(trained.saved, c.out)
    if trained.parts:
        write_tensors(trained.parts, c.out / _PARTS)
    if c.settings.train.lstm_baseline:
        (c.out / _LSTM).mkdir()
        lstm = train_lstm(data, c.settings, tables, c.work, c.log, pictures)
        save_ranker(lstm, c.out / _LSTM)
    figures = {"epochs": trained.sequence.epochs, "minutes": trained.sequence.minutes}
    _write(c.out / FIGURES, figures)
    return f"{trained.sequence.epochs} epochs in {trained.sequence.minutes:.1f} min"


def _compression_data(c: Context) -> CompressionData:
    """What passes and gates read, out of the outputs of the stages up to ``train``."""
    from builders.compress.interface import CompressionData
    from builders.dataset.dataset import Dataset
    from builders.ranker.weights import load_ranker

    return CompressionData(
        dataset=Dataset.load(c.inputs["dataset"]),
        settings=c.settings,
        tables=c.inputs["retrieval"] / "tables",
        teacher=load_ranker(c.inputs["train"]),
        work=c.work,
        log=c.log,
    )


def compress(c: Context) -> str:
    """The chain of passes, each held against both gates."""
    from builders.compress.chain import run_chain
    from builders.compress.saved import save_model
    from builders.export.item_lookup import copy_graph
    from builders.export.torch2onnx import MODEL

    found = run_chain(_compression_data(c), c.settings.compress.passes)
    save_model(found.final.model, c.out)
    copy_graph(found.final.graph, c.out / MODEL)
    copy_graph(found.base.graph, c.out / _UNCOMPRESSED)
    _write(c.out / FIGURES, found.result.to_json())
    return found.result.summary()


def export(c: Context) -> str:
    """Graphs and engines of the gpu profile."""
    from builders.compress.saved import load_model
    from builders.export.gpu_graphs import gpu_graphs

    (c.out / _GPU).mkdir()
    compressed = c.inputs["compress"]
    found = gpu_graphs(
        load_model(compressed), _compression_data(c), c.out / _GPU, compressed / _UNCOMPRESSED
    )
    _write(c.out / FIGURES, found.to_json())
    return found.summary()


def evaluate(c: Context) -> str:
    """The quality table, what compression did on the test split, and the cold-start table."""
    from builders.compress.saved import load_model
    from builders.compress.served_quality import held_out_change, scorer_of
    from builders.dataset.dataset import Dataset
    from builders.evaluation.cold_start import ColdSubject, cold_start
    from builders.evaluation.quality import Subject, quality_table
    from builders.evaluation.quality_rows import write_quality
    from builders.export.torch2onnx import MODEL
    from builders.ranker.weights import load_ranker, tensors
    from builders.retrieval.collaborative import Factors
    from builders.retrieval.feature_step import open_feature_step

    tables, weights, compressed = (c.inputs[n] for n in ("retrieval", "train", "compress"))
    with np.load(tables / _FACTORS, allow_pickle=False) as saved:
        factors = Factors(user=saved["user"], item=saved["item"])
    before = scorer_of(compressed / _UNCOMPRESSED, ())
    after = scorer_of(compressed / MODEL, load_model(compressed).graph_passes)
    subject = Subject(
        dataset=Dataset.load(c.inputs["dataset"]),
        settings=c.settings,
        ranker=load_ranker(weights).ranker,
        step=open_feature_step(tables / "tables"),
        factors=factors,
        ranked={c.settings.ranker.kind: before, "compressed": after},
        lstm=load_ranker(weights / _LSTM).ranker if (weights / _LSTM).is_dir() else None,
    )
    rows = quality_table(subject)
    change = held_out_change(subject, before, after)
    parts = tensors(weights / _PARTS) if (weights / _PARTS).is_file() else {}
    known = {str(name): parts[name] for name in c.settings.ranker.fuse}
    cold = cold_start(ColdSubject(subject.dataset, c.settings, subject.ranker, subject.step, known))
    write_quality(rows, c.out / FIGURES, change, cold)
    return f"test NDCG@10 {rows[-1].test.ndcg10:.4f} end to end, the rest in the table below"


def served_check(c: Context) -> str:
    """Assemble the release and compare a running Triton with the offline pipeline."""
    from builders.compress.saved import load_model
    from builders.compress.served_quality import offline_scorer
    from builders.dataset.dataset import Dataset
    from builders.export.torch2onnx import MODEL
    from builders.publish.offline import OfflinePipeline
    from builders.publish.release import assemble
    from builders.publish.served_check import served_check
    from builders.publish.step_files import RankerFiles, VisualFiles

    data = Dataset.load(c.inputs["dataset"])
    repository = c.out / REPOSITORY
    compressed = c.inputs["compress"]
    files = RankerFiles(compressed, c.inputs["export"] / _GPU, c.inputs["train"])
    visual = VisualFiles(c.inputs["visual"]) if c.settings.has_pictures else None
    assemble(repository, c.settings, data, c.inputs["retrieval"] / "tables", files, visual)
    score = offline_scorer(load_model(compressed), compressed / MODEL)
    offline = OfflinePipeline(repository, score, data)
    found = served_check(repository, data, offline, c.settings)
    _write(c.out / FIGURES, found.figures())
    return found.summary()


def _write(path: Path, figures: Any) -> None:
    path.write_text(json.dumps(figures), encoding="utf-8")
