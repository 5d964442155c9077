"""Training with Lightning: early stopping, a checkpoint each epoch, resuming after a kill."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.evaluation.ranking import by_length
from builders.ranker.batches import Augmentation, Batch, EpochBatches
from builders.ranker.interface import Ranker
from builders.ranker.precision import Precision, choose_precision
from builders.ranker.sequence_module import BEST, MONITORED, PROGRESS, SequenceModule
from builders.ranker.weights import read_weights
from builders.settings import Train

Log = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """Outcome of a training run.

    Attributes:
        ndcg10: best validation NDCG@10, of the sequence model alone.
        epochs: finished epochs, those before a kill included.
        minutes: this run took.
    """

    ndcg10: float
    epochs: int
    minutes: float


def train_sequence_model(
    ranker: Ranker,
    dataset: Dataset,
    settings: Train,
    history: int,
    work: Path,
    log: Log,
    augment: Augmentation | None = None,
    build_module: Callable[..., SequenceModule] = SequenceModule,
) -> Trained:
    """Train ``ranker`` in place; it ends with the weights of its best epoch.

    ``work`` keeps the checkpoint of the last epoch and the best weights: called again with the
    same folder after a kill, training goes on where it was.

    Args:
        build_module: takes what ``SequenceModule`` takes; a subclass may have another loss.

    Raises:
        BuildError: scores are not numbers any more.
    """
    work.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    torch.set_num_threads(settings.threads or torch.get_num_threads())
    data = SequenceData(dataset, settings, history, augment)
    module = build_module(ranker, dataset, settings, history, work, log)
    with _quiet():
        lightning.seed_everything(settings.seed, verbose=False)
        precision = choose_precision(ranker, data.first_batch(), settings)
        trainer = _trainer(settings, precision, work)
        checkpoint = work / "last.ckpt"
        resume = checkpoint if checkpoint.exists() else None
        if resume is not None:
            log("training goes on from its last finished epoch")
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except SystemExit as e:  # What Lightning makes of Ctrl-C.
            raise KeyboardInterrupt from e
    read_weights(ranker.cpu(), work / BEST)
    ranker.eval()
    progress = json.loads((work / PROGRESS).read_text(encoding="utf-8"))
    minutes = (time.monotonic() - started) / 60
    return Trained(progress["best"], progress["epochs"], minutes)


class SequenceData(lightning.LightningDataModule):
    """Batches of an epoch, and users in groups of equal length for validation."""

    def __init__(
        self,
        dataset: Dataset,
        settings: Train,
        history: int,
        augment: Augmentation | None,
    ) -> None:
        super().__init__()
        self._dataset = dataset
        self._settings = settings
        self._history = history
        self._augment = augment

    def train_dataloader(self) -> EpochBatches:
        assert self.trainer is not None
        return self._epoch(
            self.trainer.current_epoch, self.trainer.global_rank, self.trainer.world_size
        )

    def first_batch(self) -> Batch:
        """A batch to try the precision on."""
        return next(iter(self._epoch(0, 0, 1)))

    def _epoch(self, epoch: int, shard: int, shards: int) -> EpochBatches:
        train = self._settings
        return EpochBatches(
            self._dataset,
            self._history,
            train.batch,
            train.seed,
            epoch,
            self._augment,
            shard,
            shards,
        )

    def val_dataloader(self) -> UserGroups:
        return UserGroups(self._dataset)


@dataclass(frozen=True)
class UserGroups:
    """Users with a validation target, int64 [M] each time, of about equal history lengths."""

    dataset: Dataset

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        users, _ = self.dataset.targets("validation")
        return (users[rows] for rows in by_length(self.dataset, "validation", users))


def _trainer(settings: Train, precision: Precision, work: Path) -> lightning.Trainer:
    interactive = sys.stdout.isatty()
    callbacks: list[Callback] = [
        EarlyStopping(MONITORED, patience=settings.patience, mode="max"),
        ModelCheckpoint(
            work,
            filename="last",
            save_top_k=1,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        ),
    ]
    if interactive:
        callbacks.append(RichProgressBar(leave=False))
    gpu = torch.cuda.is_available()
    devices = settings.devices or max(torch.cuda.device_count(), 1)
    return lightning.Trainer(
        accelerator="gpu" if gpu else "cpu",
        devices=devices,
        # Forked, so that the other processes do not run the whole build again.
        strategy="ddp_fork" if devices > 1 else "auto",
        precision=precision,
        max_epochs=settings.epochs,
        max_time=timedelta(minutes=settings.max_minutes),
        callbacks=callbacks,
        default_root_dir=work,
        logger=False,
        enable_model_summary=False,
        enable_progress_bar=interactive,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's notes about hardware, workers and folders."""
    loggers = [logging.getLogger(n) for n in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
