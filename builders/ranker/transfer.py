"""What a ranker starts from: an earlier release's weights, or embeddings of the items' texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from builders.dataset.dataset import Dataset
from builders.ranker.interface import Ranker
from builders.ranker.text import project, text_vectors
from builders.ranker.weights import DESCRIPTION, UNCOMPRESSED, SavedRanker, load_ranker
from builders.settings import Settings
from ensembles.errors import ReleaseError, SettingsError

Log = Callable[[str], None]


def set_initial_values(ranker: Ranker, dataset: Dataset, settings: Settings, log: Log) -> None:
    """Change a fresh ranker in place as ``train.text_embeddings`` and ``train.warm_start`` say.

    With both, items that the earlier release knows take its vectors, new ones their text's.

    Raises:
        SettingsError: the earlier ranker has another shape, or the ranker has no item table.
        ReleaseError: ``warm_start`` holds no ranker.
        DataError: no item has a text.
        MissingExtra: the extra ``text`` is not installed.
    """
    train = settings.train
    if train.text_embeddings:
        copied = set_item_vectors(ranker, text_vectors(dataset))
        log(f"{copied} of {dataset.items} items start from their text's embedding")
    if train.warm_start:
        earlier = load_ranker(find_ranker(Path(train.warm_start)))
        known = warm_start(
            ranker, dataset.item_ids, earlier, new_items_mean=not train.text_embeddings
        )
        log(f"{known} of {dataset.items} items start from the earlier release")


def set_item_vectors(ranker: Ranker, vectors: NDArray[np.float32]) -> int:
    """Item table := projected rows of ``vectors`` where they are not zero, at the table's scale.

    Returns:
        How many items were set.

    Raises:
        SettingsError: the ranker has no item table of its own.
    """
    rows = len(vectors)
    name = _item_tables(ranker, rows)[0]
    table = ranker.get_parameter(name)
    found = torch.from_numpy(project(vectors, table.shape[1]))
    there = found.any(dim=1)
    there[0] = False
    with torch.no_grad():
        table[there] = (found[there] / found[there].std() * table[1:].std()).to(table.dtype)
    return int(there.sum())


def warm_start(
    ranker: Ranker,
    item_ids: Sequence[str],
    earlier: SavedRanker,
    *,
    new_items_mean: bool,
) -> int:
    """Copy an earlier ranker's weights; rows of item tables are matched by item id.

    Args:
        item_ids: N+1 ids of the items that ``ranker`` knows, the first ``""``.
        new_items_mean: give new items the mean of the known ones, else leave them.

    Returns:
        How many items were known before.

    Raises:
        SettingsError: a tensor's shape differs in more than the number of items.
    """
    number = {item: n for n, item in enumerate(earlier.item_ids)}
    old = np.array([number.get(item, -1) for item in item_ids])
    known = torch.from_numpy(old >= 0)
    source = torch.from_numpy(old[old >= 0])
    before = earlier.ranker.state_dict()
    tables = set(_item_tables(ranker, len(item_ids)))
    state = ranker.state_dict()
    for name, value in state.items():
        given = before.get(name)
        if given is None or given.shape[name in tables :] != value.shape[name in tables :]:
            raise SettingsError(
                f"train.warm_start: {name!r} is {_shape(given)} there and {_shape(value)} here; "
                "keep the ranker's kind, width, layers, positions and features.history"
            )
        if name not in tables:
            value.copy_(given)
            continue
        if new_items_mean:
            value[~known] = given[1:].mean(0)
        value[known] = given[source]
    return int(known.sum()) - 1


def find_ranker(repository: Path) -> Path:
    """Folder of the newest ranker in a repository, or the given folder if it is one itself.

    Of a compressed release it is the ranker that compression started from.

    Raises:
        ReleaseError: there is none.
    """
    if (repository / DESCRIPTION).is_file():
        return _uncompressed(repository)
    versions = [p.parent for p in repository.glob(f"ranker/*/{DESCRIPTION}")]
    if not versions:
        raise ReleaseError(
            f"train.warm_start: {repository} holds no ranker/N/{DESCRIPTION}; "
            "give the repository of an earlier build"
        )
    return _uncompressed(max(versions, key=lambda folder: int(folder.name)))


def _uncompressed(folder: Path) -> Path:
    inner = folder / UNCOMPRESSED
    return inner if inner.is_dir() else folder


def _item_tables(ranker: Ranker, rows: int) -> list[str]:
    """Names of the embedding tables with one row per item, padding included."""
    names = [
        f"{name}.weight"
        for name, module in ranker.named_modules()
        if isinstance(module, nn.Embedding) and module.num_embeddings == rows
    ]
    if not names:
        raise SettingsError(
            f"{type(ranker).__name__} has no torch.nn.Embedding with one row per item ({rows}); "
            "it cannot start from an earlier release or from texts"
        )
    return names


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else str(list(tensor.shape))
