"""Training windows, bucketed by length and trimmed to the longest of their batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from builders.dataset.dataset import Dataset


class Batch(NamedTuple):
    """Windows of B sequences, padded left with 0.

    Attributes:
        history: int64 [B, L].
        target: int64 [B, L]; target t follows event t.
        place: int64 [B, L], where a target stands in ``dataset.item``.
    """

    history: Tensor
    target: Tensor
    place: Tensor


Augmentation = Callable[[NDArray[np.int32], np.random.Generator], NDArray[np.int32]]
"""Events int32 [B, L] padded left with 0 → events of the same shape."""

_SORTED_TOGETHER = 50
"""Batches whose windows are sorted by length; then the batches are shuffled."""


@dataclass(frozen=True)
class EpochBatches:
    """All training events of one epoch, each once as a target.

    A sequence longer than ``history`` is cut into windows at places that change from epoch to
    epoch. A window at the start of a sequence begins with the start token 0, whose target is
    the first event. Order, cuts and augmentation follow from ``seed`` and ``epoch`` alone, so
    an epoch that is trained again after a kill is the same.

    Attributes:
        dataset: whose training events are used.
        history: H, the longest window.
        targets: in a batch, about; so a step learns as much from few long sequences as from
            many short ones.
        seed: of the run.
        epoch: counted from 0.
        augment: applied to every batch, or None.
        shard: which of ``shards`` devices this is for; each gets as many batches.
    """

    dataset: Dataset
    history: int
    targets: int
    seed: int
    epoch: int
    augment: Augmentation | None = None
    shard: int = 0
    shards: int = 1

    def __len__(self) -> int:
        return len(self._plan) // self.shards

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self.shard, len(self) * self.shards, self.shards):
            yield self._batch(*self._plan[number], number)

    @cached_property
    def _plan(self) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Of every batch: first target and end of its windows, positions in ``dataset.item``."""
        rng = np.random.default_rng([self.seed, self.epoch])
        start, end = self._windows(rng)
        return [(start[rows], end[rows]) for rows in self._order(end - start, rng)]

    def _windows(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first, last = self.dataset.offsets[:-1], self.dataset.train_end
        length = last - first
        long = length > self.history
        # The first window of a long sequence has 1 to H events, the others follow from there.
        phase = rng.integers(1, self.history + 1, len(first))
        head = np.where(long, phase, length)
        more = np.where(long, -(-(length - head) // self.history), 0)
        user = np.repeat(np.arange(len(first)), more)
        nth = np.arange(len(user)) - np.repeat(np.cumsum(more) - more, more)
        start = first[user] + head[user] + nth * self.history
        end = np.minimum(start + self.history, last[user])
        starts, ends = np.concatenate([first, start]), np.concatenate([first + head, end])
        there = ends > starts
        return starts[there], ends[there]

    def _order(
        self, length: NDArray[np.int64], rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        shuffled = rng.permutation(len(length))
        group = _SORTED_TOGETHER * max(1, round(self.targets / length.mean()))
        batches: list[NDArray[np.int64]] = []
        for start in range(0, len(shuffled), group):
            part = shuffled[start : start + group]
            part = part[np.argsort(length[part], kind="stable")]
            number = (np.cumsum(length[part]) - 1) // self.targets
            batches += np.split(part, np.flatnonzero(np.diff(number)) + 1)
        return [batches[i] for i in rng.permutation(len(batches))]

    def _batch(self, start: NDArray[np.int64], end: NDArray[np.int64], number: int) -> Batch:
        # A window that is not the start of its sequence also reads the event before it.
        begins = np.isin(start, self.dataset.offsets)
        width = int((end - start).max()) + 1
        place = end[:, None] - np.arange(width, 0, -1)
        inside = place >= np.where(begins, start, start - 1)[:, None]
        events = np.where(inside, self.dataset.item[np.maximum(place, 0)], 0).astype(np.int32)
        if self.augment is not None:
            rng = np.random.default_rng([self.seed, self.epoch, number])
            events = self.augment(events, rng)
        history, target = events[:, :-1], events[:, 1:].copy()
        target[(history == 0) & ~begins[:, None]] = 0
        return Batch(_tensor(history), _tensor(target), _tensor(place[:, 1:]))


def _tensor(array: NDArray[np.int32] | NDArray[np.int64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
