"""How often the held-out item is among the retrieved candidates."""

from __future__ import annotations

import numpy as np

from builders.dataset.dataset import Dataset, Part
from builders.evaluation.ranking import by_length, seen_items
from builders.retrieval.feature_step import FeatureStep
from ensembles.errors import BuildError

RECALL_AT = (50, 200, 500)


def recall_table(
    dataset: Dataset,
    step: FeatureStep,
    history: int,
    part: Part = "validation",
    counts: tuple[int, ...] = RECALL_AT,
) -> dict[int, float]:
    """Share in 0..1 of users whose target is among the first ``count`` candidates, by count.

    Args:
        history: H, newest events that retrieval is given; all earlier events count as seen.

    Raises:
        BuildError: ``part`` holds no target.
    """
    users, target = dataset.targets(part)
    if not len(users):
        raise BuildError(f"recall needs {part} events; got none: the log is too short")
    found = dict.fromkeys(counts, 0)
    for rows in by_length(dataset, part, users):
        events = dataset.histories(part, users[rows], history)
        seen = seen_items(dataset, part, users[rows])
        candidate = step.retrieve(events, seen, max(counts))
        hit = candidate == target[rows][:, None]
        for count in counts:
            found[count] += int(np.count_nonzero(hit[:, :count]))
    return {count: hits / len(users) for count, hits in found.items()}
