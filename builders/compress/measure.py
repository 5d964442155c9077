"""A model of the chain, measured: each user's NDCG@10, size, work and latency of its graph."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from builders.compress.gates import (
    QualityChange,
    Timing,
    gains,
    graph_logits,
    timing,
)
from builders.compress.graph import materialise
from builders.compress.interface import CompressionData, Model, depends_on_batch
from builders.compress.operations import operations, parameters
from builders.compress.result import Figures, FinalTiming
from builders.compress.saved import save_model
from builders.export.torch2onnx import MODEL
from builders.export.verify import feed_of, open_session
from ensembles.contracts import LOGIT

_FIGURES = "figures.json"
_USERS = "users.npy"
_FINAL_ROUNDS = 40


@dataclass(frozen=True)
class Measured:
    """A model as the chain holds it: with its graph, and each user's NDCG@10 by that graph."""

    model: Model
    graph: Path
    users: NDArray[np.float64]


def measured(model: Model, data: CompressionData, folder: Path) -> Measured:
    """With its graph in ``folder``, which is made when it is not there.

    Raises:
        BuildError: the ranker cannot be exported, or a graph pass fails.
        VerificationError: the float graph differs from PyTorch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / MODEL
    if not graph.is_file():
        materialise(model, data, graph)
        save_model(model, folder)
    users = folder / _USERS
    if not users.is_file():
        logits = graph_logits(graph, data.validation, alone=depends_on_batch(model.graph_passes))
        partial = users.with_name(f".{_USERS}")
        np.save(partial, gains(logits, data.validation))
        partial.replace(users)
    return Measured(model, graph, np.load(users, allow_pickle=False))


def timed(before: Measured, after: Measured, data: CompressionData, batch: int) -> Timing:
    """Both graphs in alternation, with the threads that the ranker is served with."""
    threads, rounds = data.settings.serving.ranker_threads, data.settings.compress.rounds
    return timing(before.graph, after.graph, data.validation, batch, rounds, threads)


def figures(
    found: Measured,
    quality: QualityChange,
    single: Timing,
    serving: Timing,
    data: CompressionData,
) -> Figures:
    """All figures of a model, for the report."""
    lengths = data.settings.features.history, data.settings.retrieval.candidates
    return Figures(
        parameters=parameters(found.graph),
        bytes=found.graph.stat().st_size,
        operations=operations(found.graph, *lengths),
        single_ms=single.after_ms,
        single_p99_ms=single.after_p99_ms,
        batch_ms=serving.after_ms,
        **asdict(quality),
    )


def base_figures(base: Measured, data: CompressionData) -> Figures:
    """Figures of the uncompressed model; measured once a folder."""
    path = base.graph.with_name(_FIGURES)
    if path.is_file():
        return Figures(**json.loads(path.read_text(encoding="utf-8")))
    quality = QualityChange(float(base.users.mean()), 0.0, 0.0, 0.0)
    single = timed(base, base, data, 1)
    serving = timed(base, base, data, data.settings.compress.batch)
    found = figures(base, quality, single, serving, data)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(found)), encoding="utf-8")
    partial.replace(path)
    return found


@torch.no_grad()
def final_timing(base: Measured, final: Measured, data: CompressionData) -> FinalTiming:
    """Single requests through three rankers in alternation: PyTorch, before, after."""
    rows, threads = data.validation, data.settings.serving.ranker_threads
    sessions = [open_session(m.graph, threads) for m in (base, final)]
    spent: list[list[float]] = []
    for n in range(_FINAL_ROUNDS + 2):
        taken = np.array([n % len(rows.history)])
        inputs = (rows.history[taken], rows.candidate[taken], rows.features[taken])
        tensors = [torch.from_numpy(a) for a in inputs]
        clock = [time.perf_counter()]
        base.model.ranker(*tensors)
        clock.append(time.perf_counter())
        for session in sessions:
            session.run([LOGIT.name], feed_of(session, rows, taken))
            clock.append(time.perf_counter())
        spent.append(np.diff(clock).tolist())
    eager, before, after = 1e3 * np.median(spent[2:], axis=0)
    return FinalTiming(float(eager), float(before), float(after), torch.get_num_threads())
