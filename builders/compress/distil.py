"""Distillation: a small ranker learns the scores of the uncompressed one."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path

import lightning
import torch
from torch import nn

from builders.compress.distil_module import DistilModule
from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.settings import Distil
from builders.compress.teacher_states import teacher_states
from builders.ranker.compact import RowInt8Embedding
from builders.ranker.hybrid import fit_hybrid
from builders.ranker.interface import Ranker
from builders.ranker.registry import build_ranker
from builders.ranker.settings import Ranker as RankerSettings
from builders.ranker.tied import TiedRanker
from builders.ranker.training import Trained, train_sequence_model
from builders.ranker.weights import SavedRanker


def distil(model: Model, settings: Distil, data: CompressionData) -> Outcome:
    """Train a student against ``data.teacher`` and the labels of the training events.

    The loss is that of training times ``label_weight``, and for the rest the divergence of the
    student's softmax over the catalogue from the teacher's (Hinton et al. 2015; for rankers
    Tang and Wang 2018). The epoch with the best NDCG@10 on validation is kept, and the hybrid
    head is fitted again. Called again with the same ``data.work`` it goes on after a kill.

    Raises:
        DoesNotApply: the student is the ranker so far, and its item table is in integers; or
            labels alone are to teach a student of a fused ranker.
        SettingsError: ``settings.student`` cannot be built.
        BuildError: scores are not numbers any more.
    """
    fused = data.settings.ranker.fuse
    if fused and settings.label_weight == 1:
        raise DoesNotApply(
            f"the ranker is fused with {' and '.join(fused)}; labels alone teach a student nothing "
            "about items without events; set label_weight below 1"
        )
    if settings.student is None:
        _refuse_integers(model.ranker)
        student = model.with_ranker(copy.deepcopy(model.ranker))
    else:
        student = Model(_fresh(settings.student, data), model.graph_passes)
    trained = _train(student.ranker, settings, data, data.work / "student")
    shape = "as it was" if settings.student is None else _shape(settings.student)
    return Outcome(
        student,
        f"student ({shape}), {trained.epochs} epochs in {trained.minutes:.1f} min; "
        f"NDCG@10 of the sequence model over the catalogue {trained.ndcg10:.4f}",
    )


def recover(model: Model, data: CompressionData, epochs: int, learning_rate: float) -> Model:
    """A copy of ``model``, trained for some epochs as ``distil`` does; the best one is kept.

    An item table in integers stays as it is, the rest is trained around it.
    """
    settings = Distil(epochs=epochs, patience=epochs, learning_rate=learning_rate)
    recovered = model.with_ranker(copy.deepcopy(model.ranker))
    _train(recovered.ranker, settings, data, data.work / "recovered")
    return recovered


def _train(ranker: Ranker, settings: Distil, data: CompressionData, work: Path) -> Trained:
    """Train in place, the hybrid head last."""
    train = data.settings.train.model_copy(
        update={
            "epochs": settings.epochs,
            "patience": settings.patience,
            "learning_rate": settings.learning_rate,
        }
    )
    with torch.no_grad():
        vectors = data.teacher.ranker.item_vectors().clone()
    build = partial(
        DistilModule,
        states=teacher_states(data),
        teacher_vectors=vectors,
        distil=settings,
        # Where items without events stand, the teacher tells; labels would push them away.
        only_trained=bool(data.settings.ranker.fuse),
    )
    trained = train_sequence_model(
        ranker.train(),
        data.dataset,
        train,
        data.teacher.history,
        work,
        data.log,
        build_module=build,
    )
    if ranker.head is not None:
        fit_hybrid(ranker, data.dataset, data.step, data.settings)
    return trained


def _fresh(shape: RankerSettings, data: CompressionData) -> SavedRanker:
    """A new ranker, its item table the teacher's in fewer dimensions where that is possible."""
    teacher = data.teacher
    lightning.seed_everything(data.settings.train.seed, verbose=False)
    ranker = build_ranker(len(teacher.item_ids) - 1, teacher.history, shape)
    if isinstance(ranker, TiedRanker) and isinstance(ranker.item, nn.Embedding):
        with torch.no_grad():
            ranker.item.weight.copy_(projected(teacher.ranker.item_vectors(), ranker.item.weight))
    return SavedRanker(ranker, teacher.item_ids, teacher.history, shape)


def projected(vectors: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Item vectors in the directions that keep most of their scalar products.

    That is a truncated singular value decomposition (Eckart and Young 1936), not centred
    because scores are not.

    Args:
        vectors: float [N+1, T]; row 0 is projected but does not choose the directions.
        table: float [N+1, D], fresh: gives the scale, and the columns that remain where D
            is larger than T or N.

    Returns:
        float [N+1, D] with the standard deviation of ``table``.
    """
    _, _, directions = torch.linalg.svd(vectors[1:], full_matrices=False)
    kept = vectors @ directions[: table.shape[1]].T
    found = table.clone()
    found[:, : kept.shape[1]] = kept * (table.std() / kept.std())
    return found


def _refuse_integers(ranker: Ranker) -> None:
    if any(isinstance(module, RowInt8Embedding) for module in ranker.modules()):
        raise DoesNotApply(
            "the item table is in 8-bit integers, which cannot be trained; "
            "put distil before quantise_items"
        )


def _shape(settings: RankerSettings) -> str:
    return f"{settings.kind}, {settings.layers} layers, width {settings.width}"
