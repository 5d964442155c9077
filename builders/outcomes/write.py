"""Reads what was exported and writes the report."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from builders.outcomes.answers import count_answers
from builders.outcomes.outcomes import Outcomes
from ensembles.errors import DataError
from serving.repository import titles

HTML, JSON = "outcomes.html", "outcomes.json"
NO_CLICKS = ("dislike", "skip")
"""Types of events that answer an impression and are no click."""


def write_outcomes(
    exported: Path, out: Path, *, clicks: Collection[str] = (), repository: Path | None = None
) -> tuple[Outcomes, Path]:
    """Write ``outcomes.html`` and ``outcomes.json`` into ``out``.

    Args:
        exported: folder that `millirank events export` writes into.
        clicks: types of events that are a click (none: all but ``NO_CLICKS``).
        repository: tells how many items the releases have.

    Returns:
        The figures and the HTML file.

    Raises:
        DataError: there are no impressions, or they cannot be read, or ``out`` not written.
    """
    counts = count_answers(exported, clicks, NO_CLICKS)
    numbers = [row["release"] for row in counts.releases]
    catalogue = {n: len(titles(repository, n)) for n in numbers} if repository else {}
    found = Outcomes.of(counts, catalogue)
    from builders.outcomes.page import page

    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / JSON).write_text(json.dumps(found.to_json(), indent=1) + "\n", encoding="utf-8")
        (out / HTML).write_text(page(found), encoding="utf-8")
    except OSError as e:
        raise DataError(f"cannot write the report into {out}: {e.strerror}") from e
    return found, out / HTML
