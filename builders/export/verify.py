"""The exported model against PyTorch, on real histories and at the edges of its shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from builders.evaluation.retrieved import RetrievedCandidates
from builders.export.item_lookup import table_of
from builders.ranker.interface import Ranker
from builders.settings import Export
from ensembles.contracts import (
    CANDIDATE,
    CANDIDATE_FEATURES,
    CANDIDATE_VECTOR,
    HISTORY,
    HISTORY_VECTOR,
    LOGIT,
    MAX_BATCH,
)
from ensembles.errors import BuildError, VerificationError

BATCHES = (1, 7, MAX_BATCH)

Feed = dict[str, NDArray[Any]]
Feeds = Callable[[Any, int], Feed]
"""Inputs of a session, by a number: of rows, or of a run."""


def open_session(model: Path, threads: int = 1, table: Path | None = None) -> Any:
    """An ONNX Runtime session on the CPU; its attribute ``item_vectors`` is for ``feed_of``.

    Args:
        model: with its item table beside it where the graph does not hold it.
        threads: of one operator.
        table: where the item table lies, when that is not beside ``model``.

    Raises:
        BuildError: ONNX Runtime cannot load the file.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as e:
        raise BuildError(f"ONNX Runtime cannot load {model}: {e}; export it again") from e
    table = table or table_of(model)
    session.item_vectors = (
        np.asarray(np.load(table, mmap_mode="r", allow_pickle=False)) if table.is_file() else None
    )
    return session


def verify(
    ranker: Ranker, model: Path, samples: RetrievedCandidates, settings: Export
) -> dict[str, float]:
    """Largest absolute difference of a logit between PyTorch and ONNX Runtime, by case.

    Cases: real rows at batch 1, 7 and the maximum, rows of an empty history, rows whose
    candidates are partly padding, and one candidate alone.

    Args:
        samples: of a few users at least; rows are repeated to fill the largest batch.

    Raises:
        VerificationError: a difference is beyond ``settings.tolerance``, or no number.
        BuildError: ONNX Runtime cannot load or run the model.
    """
    session = open_session(model)
    found = {name: _difference(ranker, session, feed) for name, feed in _cases(samples).items()}
    check_differences(model, found, settings)
    return found


def check_differences(model: Path, found: Mapping[str, float], settings: Export) -> None:
    """Refuse a graph that differs from PyTorch.

    Args:
        found: largest difference by case.

    Raises:
        VerificationError: a difference is beyond ``settings.tolerance``, or no number.
    """
    wrong = {name: gap for name, gap in found.items() if not gap <= settings.tolerance}
    if wrong:
        raise VerificationError(
            f"{model.name} differs from PyTorch by more than export.tolerance = "
            f"{settings.tolerance:g}: {_listed(wrong)}; raise the tolerance if that is "
            "acceptable, or try another export.opset"
        )


def _cases(samples: RetrievedCandidates) -> Mapping[str, Feed]:
    cases = {f"batch {rows}": _feed(samples, rows) for rows in BATCHES}
    empty = _feed(samples, 3)
    empty[HISTORY.name] = np.zeros_like(empty[HISTORY.name])
    padded = _feed(samples, 3)
    padded[CANDIDATE.name][:, ::2] = 0
    padded[CANDIDATE_FEATURES.name][:, ::2] = 0
    one = {
        name: array[:, :1] if name != HISTORY.name else array
        for name, array in _feed(samples, 2).items()
    }
    return {**cases, "empty history": empty, "padded candidates": padded, "one candidate": one}


def _feed(samples: RetrievedCandidates, rows: int) -> Feed:
    return _tensors(samples, np.arange(rows) % len(samples.history))


def _tensors(samples: RetrievedCandidates, taken: NDArray[np.int64]) -> Feed:
    return {
        HISTORY.name: samples.history[taken],
        CANDIDATE.name: samples.candidate[taken],
        CANDIDATE_FEATURES.name: samples.features[taken],
    }


def feed_of(session: Any, samples: RetrievedCandidates, taken: NDArray[np.int64]) -> Feed:
    """Inputs of a session for some of the rows; a graph leaves out inputs that it does not use."""
    return _complete(session, _tensors(samples, taken))


def repeated(samples: RetrievedCandidates) -> Feeds:
    """The first rows of ``samples``, which are repeated where there are fewer."""
    return lambda session, rows: feed_of(session, samples, np.arange(rows) % len(samples.history))


def _complete(session: Any, feed: Feed) -> Feed:
    """With rows of the item table where the graph takes them."""
    if session.item_vectors is not None:
        rows = {HISTORY_VECTOR.name: HISTORY.name, CANDIDATE_VECTOR.name: CANDIDATE.name}
        vectors = {name: session.item_vectors.take(feed[of], axis=0) for name, of in rows.items()}
        feed = {**feed, **vectors}
    wanted = {tensor.name for tensor in session.get_inputs()}
    return {name: array for name, array in feed.items() if name in wanted}


@torch.no_grad()
def _difference(ranker: Ranker, session: Any, feed: Feed) -> float:
    expected = ranker(*(torch.from_numpy(array) for array in feed.values())).numpy()
    try:
        (found,) = session.run([LOGIT.name], _complete(session, feed))
    except Exception as e:
        raise BuildError(f"ONNX Runtime cannot run the exported model: {e}") from e
    return float(np.abs(expected - found).max())


def _listed(gaps: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {gap:.2g}" for name, gap in gaps.items())
