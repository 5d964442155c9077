"""Vocabulary and catalogue: external ids to numbers, titles, texts and categories of items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import ibis
import numpy as np
import pyarrow as pa
from ibis.expr.types import Table
from numpy.typing import NDArray

from ensembles.contracts import LIMITS

MAX_CATEGORIES = 256
"""Category columns kept, the most common first: the matrix has one column each."""

_NO_CATEGORY = ("", "(no genres listed)")


@dataclass(frozen=True)
class Catalogue:
    """Fields of ``Dataset``: titles and texts [N+1], category names [G], categories [N+1, G]."""

    titles: list[str]
    texts: list[str]
    category_names: list[str]
    categories: NDArray[np.uint8]


def natural_order(ids: Iterable[str]) -> list[str]:
    """Sorted ids: whole numbers by value and first (2 before 10), then the others as text."""

    def key(name: str) -> tuple[bool, int, str]:
        number = name.isascii() and name.isdecimal()
        return (not number, int(name) if number else 0, name)

    return sorted(ids, key=key)


def number_ids(
    column: pa.ChunkedArray, more: Iterable[str] = ()
) -> tuple[list[str], NDArray[np.int64]]:
    """Distinct ids in natural order, and for each row the place of its id in that list.

    Args:
        more: ids that get a place without a row.
    """
    encoded = column.combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    ordered = natural_order({*found, *more})
    place = {name: index for index, name in enumerate(ordered)}
    rank = np.array([place[name] for name in found], np.int64)
    return ordered, rank[encoded.indices.to_numpy()]


def catalogue_ids(table: Table | None) -> list[str]:
    """Ids of the catalogue that a request may send; none where there is no catalogue."""
    if table is None:
        return []
    found = table.select("item").distinct().to_pyarrow()["item"].to_pylist()
    return [name for name in found if name and len(name.encode()) <= LIMITS.id_bytes]


def read_catalogue(table: Table | None, item_ids: list[str], separator: str) -> Catalogue:
    """What is known about items 1..N; of several rows of one item the first counts.

    Args:
        table: ``item``, ``title``, ``categories``, ``text``, ``row``; None where nothing is.
        item_ids: N+1 external ids, the first is padding.
        separator: between the categories of one item.

    A missing title is the id. A missing text is title and categories, where there is a title.
    """
    rows = {} if table is None else _first_rows(table, "item")
    titles, texts, labels = [""], [""], [[""]]
    for name in item_ids[1:]:
        row = rows.get(name, {})
        title = (row.get("title") or "").strip()
        mine = [part.strip() for part in (row.get("categories") or "").split(separator)]
        labels.append([label for label in mine if label not in _NO_CATEGORY])
        described = ". ".join([title, ", ".join(labels[-1])]).strip(". ") if title else ""
        titles.append(title or name)
        texts.append((row.get("text") or "").strip() or described)
    names, matrix = _one_hot(labels)
    return Catalogue(titles, texts, names, matrix)


def read_attributes(table: Table | None, user_ids: list[str]) -> dict[str, list[str]]:
    """Attribute name → U strings, ``""`` where unknown; of several rows the first counts."""
    if table is None:
        return {}
    rows = _first_rows(table, "user")
    names = [name for name in table.columns if name not in ("user", "row")]
    return {name: [rows.get(user, {}).get(name) or "" for user in user_ids] for name in names}


def _first_rows(table: Table, key: str) -> dict[str, dict[str, str | None]]:
    nth = ibis.row_number().over(group_by=key, order_by="row")
    return {row[key]: row for row in table.filter(nth == 0).to_pyarrow().to_pylist()}


def _one_hot(labels: list[list[str]]) -> tuple[list[str], NDArray[np.uint8]]:
    counts = Counter(label for mine in labels[1:] for label in set(mine))
    common = sorted(counts, key=lambda label: (-counts[label], label))[:MAX_CATEGORIES]
    names = sorted(common)
    column = {label: index for index, label in enumerate(names)}
    matrix = np.zeros((len(labels), len(names)), np.uint8)
    for row, mine in enumerate(labels[1:], start=1):
        for label in mine:
            if label in column:
                matrix[row, column[label]] = 1
    return names, matrix
