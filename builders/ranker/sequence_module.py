"""The Lightning module: loss of a batch, validation by full ranking, optimiser."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from builders.dataset.dataset import Dataset
from builders.evaluation.metrics import Metrics
from builders.evaluation.ranking import ranks_of_users
from builders.ranker.batches import Batch
from builders.ranker.fusion import redraw
from builders.ranker.interface import Ranker
from builders.ranker.losses import full_softmax, sampled_softmax
from builders.ranker.scoring import SequenceScorer
from builders.ranker.weights import write_weights
from builders.settings import Train

MONITORED = "ndcg10"
BEST = "best.safetensors"
PROGRESS = "progress.json"


class SequenceModule(lightning.LightningModule):
    """Trains a ranker's sequence model; the hybrid head stays as it is.

    Attributes:
        ranker: what is trained.
        averaged: moving average of its weights, or None; what is validated and kept.
        best: highest validation NDCG@10 so far; its weights are in ``work / BEST``.
        rows: int64, row 0 and the items that take part in the softmax; None: all do.
    """

    rows: Tensor | None

    def __init__(
        self,
        ranker: Ranker,
        dataset: Dataset,
        settings: Train,
        history: int,
        work: Path,
        log: Callable[[str], None],
        only_trained: bool = False,
    ) -> None:
        """``only_trained``: items without a training event take no part in the softmax.

        As negatives every batch would push them away from wherever their picture or text, or
        a teacher, puts them.
        """
        super().__init__()
        self.ranker = ranker
        if ranker.head is not None:
            ranker.head.requires_grad_(False)
        average = get_ema_multi_avg_fn(settings.ema)  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(ranker, multi_avg_fn=average) if settings.ema else None
        if self.averaged is not None:
            self.averaged.requires_grad_(False)
        self.best = -1.0
        self._dataset = dataset
        self._settings = settings
        self._history = history
        self._work = work
        self._print = log
        self._started = time.monotonic()
        self._ranks: list[NDArray[np.int64]] = []
        count = np.bincount(dataset.item[dataset.train_mask()], minlength=dataset.items + 1)
        chance = torch.from_numpy(count.astype(np.float32))
        rows = torch.from_numpy(np.append(0, np.flatnonzero(count))) if only_trained else None
        self.register_buffer("rows", rows, persistent=False)
        if rows is not None:
            chance = chance[rows]
        chance[1:] += 1  # An item that training has not seen is still drawn as a negative.
        self.register_buffer("chance", chance / chance.sum(), persistent=False)

    @property
    def kept(self) -> Ranker:
        """The ranker that is validated and kept."""
        if self.averaged is None:
            return self.ranker
        averaged = self.averaged.module
        assert isinstance(averaged, Ranker)
        return averaged

    def on_train_epoch_start(self) -> None:
        self._started = time.monotonic()
        # Dropout and negatives of an epoch follow from its number, also after a kill.
        torch.manual_seed(self._settings.seed + 7919 * self.current_epoch + self.global_rank)

    def on_train_batch_start(self, *_: Any) -> None:
        redraw(self.ranker)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        real = batch.target > 0
        state = self.ranker.encode(batch.history)[real]
        return self._loss(state, self.ranker.item_vectors(), batch.target[real])

    def _loss(self, state: Tensor, vectors: Tensor, target: Tensor) -> Tensor:
        train = self._settings
        common = {"temperature": train.temperature, "label_smoothing": train.label_smoothing}
        if self.rows is not None:
            vectors = vectors.index_select(0, self.rows)
            target = torch.searchsorted(self.rows, target)
        if train.loss == "full_softmax":
            return full_softmax(state, vectors, target, **common)
        chance = self.get_buffer("chance")
        negative = torch.multinomial(chance, train.negatives, replacement=True)
        return sampled_softmax(state, vectors, target, negative, chance.log(), **common)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            self.averaged.update_parameters(self.ranker)

    def validation_step(self, users: NDArray[np.int64], _: int) -> None:
        scorer = SequenceScorer(self.kept, self._dataset, self._history)
        self._ranks.append(ranks_of_users(scorer, self._dataset, "validation", users))

    def on_validation_epoch_end(self) -> None:
        quality = Metrics.of(np.concatenate(self._ranks))
        self._ranks.clear()
        self.log(MONITORED, quality.ndcg10)
        if not self.trainer.is_global_zero:
            return
        self._print(
            f"epoch {self.current_epoch + 1}: validation NDCG@10 {quality.ndcg10:.4f}, "
            f"HR@10 {quality.hr10:.4f} ({time.monotonic() - self._started:.1f} s)"
        )
        if quality.ndcg10 > self.best:
            self.best = quality.ndcg10
            write_weights(self.kept, self._work / BEST)
        progress = {"best": self.best, "epochs": self.current_epoch + 1}
        (self._work / PROGRESS).write_text(json.dumps(progress), encoding="utf-8")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["best"] = self.best

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.best = checkpoint["best"]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        train = self._settings
        parameters = [p for p in self.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.dim() > 1]},
            # Biases and norms are not pulled towards zero.
            {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(
            groups,
            lr=train.learning_rate,
            weight_decay=train.weight_decay,
            betas=(0.9, 0.98),
            fused=True,
        )
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step / steps, train)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def learning_rate_factor(progress: float, settings: Train) -> float:
    """Share of the learning rate at ``progress`` 0..1 of all steps."""
    if progress < settings.warmup:
        return (progress + 1e-3) / (settings.warmup + 1e-3)
    if settings.schedule == "constant":
        return 1.0
    share = min(1.0, (progress - settings.warmup) / (1 - settings.warmup))
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * share))
