"""What the teacher knows before every training event, computed once and kept on disk."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from builders.compress.interface import CompressionData
from builders.dataset.dataset import Dataset
from builders.ranker.interface import Ranker

_EVENTS = 4096
"""Events that are read together, about."""
_LINES = 10


def teacher_states(data: CompressionData) -> NDArray[np.float16]:
    """States of ``data.teacher``: float16 [E, D], memory-mapped.

    Row ``p`` is the state that predicts ``dataset.item[p]``, for training events; other rows
    are 0. Made once for all passes; a file that was not finished is made again.
    """
    ranker, folder = data.teacher.ranker, data.common or data.work
    path = folder / f"teacher_states-{_fingerprint(ranker)}.npy"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        _write(data, partial)
        partial.replace(path)
    states: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return states


def covering_windows(dataset: Dataset, history: int) -> tuple[NDArray[np.int64], ...]:
    """Windows in which every training event is a target once, after as many events as possible.

    A window holds the ``history`` targets before its end, or as many as there are. Windows
    overlap by half: where a user has ``history / 2`` events before a target, it is predicted
    from at least so many.

    Returns:
        int64 [W] each: the user, the first target that this window stands for, and its end
        (exclusive), both positions in ``dataset.item``.
    """
    first, last = dataset.offsets[:-1], dataset.train_end
    stride = max(1, history // 2)
    more = np.maximum(0, -(-(last - first - history) // stride))
    user = np.repeat(np.arange(len(first)), more)
    nth = np.arange(len(user)) - np.repeat(np.cumsum(more) - more, more)
    keep = first[user] + history + nth * stride
    users = np.concatenate([np.arange(len(first)), user])
    keeps = np.concatenate([first, keep])
    ends = np.concatenate(
        [np.minimum(first + history, last), np.minimum(keep + stride, last[user])]
    )
    there = ends > keeps
    return users[there], keeps[there], ends[there]


@torch.no_grad()
def _write(data: CompressionData, path: Path) -> None:
    dataset, history = data.dataset, data.teacher.history
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ranker = copy.deepcopy(data.teacher.ranker).to(device).eval()
    user, keep, end = covering_windows(dataset, history)
    length = np.minimum(end - dataset.offsets[user], history)
    order = np.argsort(length, kind="stable")
    batch = (np.cumsum(length[order]) - 1) // _EVENTS
    parts = np.split(order, np.flatnonzero(np.diff(batch)) + 1)
    width = ranker.item_vectors().shape[1]
    states: np.memmap[Any, np.dtype[np.float16]]
    states = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
        path, mode="w+", dtype=np.float16, shape=(len(dataset.item), width)
    )
    for number, rows in enumerate(parts):
        longest = int(length[rows].max())
        place = end[rows, None] - np.arange(longest, 0, -1)
        events = torch.from_numpy(dataset.before(user[rows], end[rows] - 1, longest))
        mine = place >= keep[rows, None]
        found = ranker.encode(events.to(device)).cpu().numpy()
        states[place[mine]] = found[mine]
        if (number + 1) * _LINES // len(parts) > number * _LINES // len(parts):
            data.log(f"teacher's states: {number + 1} of {len(parts)} batches")
    states.flush()


def _fingerprint(ranker: Ranker) -> str:
    """Of the weights, so that another teacher's file is never taken for this one's."""
    found = hashlib.sha256()
    for name, value in ranker.state_dict().items():
        found.update(name.encode())
        found.update(value.cpu().contiguous().numpy().data)
    return found.hexdigest()[:16]
