"""The ranker of a release: initial values, sequence model, then the hybrid head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lightning
import numpy as np
import torch
from torch import Tensor

from builders.dataset.augment import augment
from builders.dataset.dataset import Dataset
from builders.ranker.batches import Augmentation
from builders.ranker.fusion import fold, fuse
from builders.ranker.hybrid import HeadFit, fit_hybrid
from builders.ranker.interface import Ranker
from builders.ranker.known_vectors import known_vectors
from builders.ranker.registry import build_ranker
from builders.ranker.sequence_module import SequenceModule
from builders.ranker.training import Trained, train_sequence_model
from builders.ranker.transfer import set_initial_values
from builders.ranker.weights import SavedRanker
from builders.retrieval.feature_step import open_feature_step
from builders.settings import Settings

Log = Callable[[str], None]

_SIMILAR = 5
"""Nearest neighbours among which an augmented sequence's substitutes are drawn."""


@dataclass(frozen=True)
class TrainedRanker:
    """A finished ranker and how it came about.

    Attributes:
        head: None for a ranker without one.
        parts: what its item table is the sum of, float [N+1, D] each: ``id`` and the modalities
            of ``ranker.fuse``; empty where nothing is fused.
    """

    saved: SavedRanker
    sequence: Trained
    head: HeadFit | None
    parts: dict[str, Tensor]

    @property
    def ranker(self) -> Ranker:
        """In evaluation mode, on the CPU."""
        return self.saved.ranker


def train_ranker(
    dataset: Dataset,
    settings: Settings,
    tables: Path,
    work: Path,
    log: Log,
    pictures: Path | None = None,
) -> TrainedRanker:
    """Train ``settings.ranker``; called again with the same ``work`` it goes on after a kill.

    Args:
        tables: feature tables from all training events.
        work: folder for checkpoints; may be removed afterwards.
        log: takes one line per epoch and stage.
        pictures: visual vectors of the items, where there are any.

    Raises:
        SettingsError: the ranker's kind, what it starts from, or what is fused into it cannot
            be used.
        BuildError: training diverged, or the visual vectors are not those of the items.
        DataError: texts are asked for and no item has one.
        MissingExtra: text embeddings are asked for and not installed.
    """
    ranker = _fresh(dataset, settings)
    set_initial_values(ranker, dataset, settings, log)
    known = known_vectors(dataset, settings, pictures)
    trained, parts = _train(ranker, dataset, settings, tables, known, work / "sequence", log)
    head = None
    if ranker.head is not None:
        head = fit_hybrid(ranker, dataset, open_feature_step(tables), settings)
        log(
            f"hybrid head times {head.factor:g}: cross-validated loss among candidates "
            f"{head.without:.4f} -> {head.with_head:.4f}"
        )
    saved = _saved(ranker, dataset, settings)
    return TrainedRanker(saved, trained, head, parts)


def train_lstm(
    dataset: Dataset,
    settings: Settings,
    tables: Path,
    work: Path,
    log: Log,
    pictures: Path | None = None,
) -> SavedRanker:
    """An LSTM of the same width, trained in the same way, without head: a line to compare with."""
    shape = settings.ranker.model_copy(update={"kind": "lstm", "hybrid": False})
    settings = settings.model_copy(update={"ranker": shape})
    ranker = _fresh(dataset, settings)
    known = known_vectors(dataset, settings, pictures)
    _train(ranker, dataset, settings, tables, known, work / "lstm", log)
    return _saved(ranker, dataset, settings)


def _saved(ranker: Ranker, dataset: Dataset, settings: Settings) -> SavedRanker:
    length = settings.features.history
    return SavedRanker(ranker.eval(), dataset.item_ids, length, settings.ranker)


def _fresh(dataset: Dataset, settings: Settings) -> Ranker:
    lightning.seed_everything(settings.train.seed, verbose=False)
    return build_ranker(dataset.items, settings.features.history, settings.ranker)


def _train(
    ranker: Ranker,
    dataset: Dataset,
    settings: Settings,
    tables: Path,
    known: Mapping[str, Tensor],
    work: Path,
    log: Log,
) -> tuple[Trained, dict[str, Tensor]]:
    """The sequence model, fused with ``known`` while it is trained; the item table's parts."""
    if known:
        fuse(ranker, known, _has_training_event(dataset), settings.ranker.fuse_dropout)
    trained = train_sequence_model(
        ranker,
        dataset,
        settings.train,
        settings.features.history,
        work,
        log,
        _augmentation(settings, tables),
        partial(SequenceModule, only_trained=bool(known)),
    )
    log(
        f"{settings.ranker.kind}: {trained.epochs} epochs in {trained.minutes:.1f} min, "
        f"best validation NDCG@10 {trained.ndcg10:.4f}"
    )
    return trained, fold(ranker)


def _has_training_event(dataset: Dataset) -> Tensor:
    """bool [N+1]."""
    found = np.zeros(dataset.items + 1, np.bool_)
    found[dataset.item[dataset.train_mask()]] = True
    return torch.from_numpy(found)


def _augmentation(settings: Settings, tables: Path) -> Augmentation | None:
    chosen = settings.augment
    if not (chosen.crop or chosen.mask or chosen.reorder or chosen.substitute):
        return None
    near = np.load(tables / "neighbour_item.npy", allow_pickle=False)[:, :_SIMILAR]
    return lambda events, rng: augment(events, chosen, rng, near)
