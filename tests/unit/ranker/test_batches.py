"""Windows: every training event once as a target, after the event that came before it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.ranker.batches import Augmentation, EpochBatches
from tests.unit.ranker.tiny_log import circle, dataset_of

logs = st.lists(st.integers(3, 25), min_size=1, max_size=12)


def _log(lengths: list[int]) -> Dataset:
    total = sum(lengths)
    events = iter(range(1, total + 1))
    return dataset_of([[next(events) for _ in range(n)] for n in lengths], items=total)


def _batches(
    dataset: Dataset,
    history: int = 5,
    epoch: int = 0,
    augment: Augmentation | None = None,
    shard: int = 0,
    shards: int = 1,
) -> EpochBatches:
    return EpochBatches(dataset, history, 4, 7, epoch, augment, shard, shards)


@given(lengths=logs, history=st.integers(1, 12), epoch=st.integers(0, 3))
def test_every_training_event_is_a_target_once(
    lengths: list[int], history: int, epoch: int
) -> None:
    dataset = _log(lengths)
    before: dict[int, int] = {}
    for user in range(dataset.users):
        own = [0, *dataset.train_history(user).tolist()]
        before.update(zip(own[1:], own[:-1], strict=True))
    found: Counter[int] = Counter()
    batches = _batches(dataset, history, epoch)
    for events, target, place in batches:
        real = target > 0
        assert np.array_equal(dataset.item[place[real].numpy()], target[real].numpy())
        assert events.shape == target.shape
        assert events.shape[1] <= history
        assert events.shape[1] == (target > 0).sum(1).max()
        for item, previous in zip(target[target > 0], events[target > 0], strict=True):
            assert before[int(item)] == int(previous)
            found[int(item)] += 1
    assert found == Counter(before.keys())
    assert len(batches) == len(list(batches))


def test_order_and_cuts_follow_from_seed_and_epoch() -> None:
    dataset = circle(longest=30)
    first, again, later = (list(_batches(dataset, epoch=n)) for n in (0, 0, 1))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert len(first) != len(later) or not all(
        torch.equal(a[0], b[0]) for a, b in zip(first, later, strict=True)
    )


def test_shards_share_the_batches() -> None:
    dataset = circle()
    whole = list(_batches(dataset))
    parts = [list(_batches(dataset, shard=n, shards=2)) for n in range(2)]
    assert len(parts[0]) == len(parts[1]) == len(whole) // 2
    for number, (events, _, _) in enumerate(whole[: len(parts[0]) * 2]):
        assert torch.equal(events, parts[number % 2][number // 2][0])


def test_augmentation_sees_whole_windows() -> None:
    dataset = circle()

    def backwards(events: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
        rng.random()
        out = np.zeros_like(events)
        for row, changed in zip(events, out, strict=True):
            real = row[row > 0]
            changed[len(row) - len(real) :] = real[::-1]
        return out

    for events, target, _ in _batches(dataset, augment=backwards):
        both = (events > 0) & (target > 0)
        assert torch.equal((events[both] - target[both]) % 24, torch.ones(int(both.sum())).long())
