"""Which item has which picture: a file beside the others, or a cover drawn for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np

from builders.dataset.dataset import Dataset
from builders.settings import Settings
from builders.stages import Log
from builders.visual.settings import ITEM
from ensembles.errors import DataError

_REPORTED = 2000
"""Covers between two lines of progress."""


def find_pictures(
    dataset: Dataset, settings: Settings, covers: Path, log: Log
) -> list[Path | None]:
    """N+1 pictures by item number; the first is None, as is that of an item without one.

    Where the settings want covers, what is missing is drawn into the folder ``covers``, as
    ``{item number}.png``.

    Raises:
        DataError: the folder of the pictures cannot be read, or no item has a picture.
    """
    given = _given(settings.data.images)
    # Looked up among the names of one folder, and never put together to a path, so no item id
    # leads anywhere else.
    name = Path(settings.data.images).name
    found = [None, *(given.get(name.replace(ITEM, i)) for i in dataset.item_ids[1:])]
    missing = [n for n in range(1, len(found)) if found[n] is None]
    log(f"{dataset.items - len(missing):,} of {dataset.items:,} items have a picture")
    if settings.visual.covers:
        for item, cover in _drawn(dataset, missing, covers, log):
            found[item] = cover
    elif len(missing) == dataset.items:
        example = settings.data.images.replace(ITEM, dataset.item_ids[1])
        raise DataError(
            f"expected pictures as {settings.data.images}, but no item has one ({example} is not "
            "there); correct data.images, or set visual.covers"
        )
    return found


def picture_hash(settings: Settings) -> str:
    """Fingerprint of the pictures that ``data.images`` names; ``""`` where it names none.

    Names, sizes and times of change, as make and rsync compare them: a build with nothing to do
    reads one folder instead of every picture. A picture that was merely copied anew is encoded
    again; one that was replaced by another of its size at the very same time would be missed.

    Raises:
        DataError: the folder cannot be read.
    """
    if not settings.data.images:
        return ""
    before, after = Path(settings.data.images).name.split(ITEM)
    digest = sha256()
    for name, path in sorted(_given(settings.data.images).items()):
        if name.startswith(before) and name.endswith(after):
            about = path.stat()
            digest.update(os.fsencode(f"{name}\0{about.st_size}\0{about.st_mtime_ns}\0"))
    return digest.hexdigest()


def _given(images: str) -> dict[str, Path]:
    """Files beside one another in the folder of ``images``, by name."""
    if not images:
        return {}
    folder = Path(images).parent
    try:
        with os.scandir(folder) as entries:
            return {entry.name: folder / entry.name for entry in entries if entry.is_file()}
    except OSError as e:
        raise DataError(
            f"expected pictures as {images}, but the folder {folder} cannot be read "
            f"({e.strerror}); data.images is relative to the working directory"
        ) from e


def _drawn(
    dataset: Dataset, items: list[int], covers: Path, log: Log
) -> Iterator[tuple[int, Path]]:
    """A new cover for each of the items."""
    from builders.visual.covers import draw_cover

    covers.mkdir(parents=True, exist_ok=True)
    for number, item in enumerate(items, 1):
        of_item = np.flatnonzero(dataset.categories[item])
        cover = covers / f"{item}.png"
        draw_cover(dataset.titles[item], [dataset.category_names[c] for c in of_item], cover)
        yield item, cover
        if number % _REPORTED == 0:
            log(f"drew {number:,} of {len(items):,} covers")
    log(
        f"drew {len(items):,} covers from title and categories: typographic stand-ins, not "
        "pictures of the items"
    )
