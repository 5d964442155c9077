"""The held-out window: events after what a release was trained on, with what came before each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from builders.compress.gates import gains, graph_logits
from builders.compress.interface import depends_on_batch
from builders.compress.settings import GraphPass
from builders.dataset.dataset import Dataset, newest_before
from builders.evaluation.retrieved import RetrievedCandidates
from builders.export.torch2onnx import MODEL
from builders.publish.release import ITEM_VECTORS
from builders.retrain.recorded import Recorded
from builders.retrieval.feature_step import FeatureStep, open_feature_step
from builders.settings import Settings
from ensembles.recommend import FEATURES, RANKER
from ensembles.step_code import load_step

_ROWS = 2048


@dataclass(frozen=True)
class Window:
    """M queries: the first event of a user with an item, after the cut.

    Attributes:
        item_ids: external ids of the items that stand in ``item``.
        item: int32 [E] places in ``item_ids``; the events of each user of the window, oldest
            first, those before the cut included.
        query: int64 [M] positions in ``item``.
        start: int64 [M] position in ``item`` of the first event of the query's user.
        user: int64 [M] numbers of the users, from 0.
    """

    item_ids: list[str]
    item: NDArray[np.int32]
    query: NDArray[np.int64]
    start: NDArray[np.int64]
    user: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: Dataset, recorded: Recorded, cut: int) -> Window:
        """Events of ``recorded`` after ``cut``; the histories before them are the data set's."""
        held = recorded.rows.filter(recorded.after(cut))
        events: dict[str, list[str]] = {}
        for user, item in zip(*(held[n].to_pylist() for n in ("user_id", "item_id")), strict=True):
            events.setdefault(user, []).append(item)
        number = {name: n for n, name in enumerate(dataset.user_ids)}
        before = [_history(dataset, number.get(user, -1)) for user in events]
        lines = [[*old, *new] for old, new in zip(before, events.values(), strict=True)]
        lengths = np.array([len(line) for line in lines], np.int64)
        user = np.repeat(np.arange(len(lines)), lengths)
        ids: dict[str, int] = {}
        item = np.array([ids.setdefault(name, len(ids)) for name in chain(*lines)], np.int64)
        start = np.cumsum(lengths) - lengths
        new = start + np.array([len(old) for old in before], np.int64)
        position = np.arange(len(item))
        # An item that its user has seen before is never shown.
        first = np.zeros(len(item), np.bool_)
        first[np.unique(user * len(ids) + item, return_index=True)[1]] = True
        query = np.flatnonzero(first & (position >= np.repeat(new, lengths)))
        asked = user[query]
        return cls([*ids], item.astype(np.int32), query, start[asked], asked)

    def gains(self, repository: Path, release: int, settings: Settings) -> NDArray[np.float64]:
        """NDCG@10 of each query by a release, end to end: float64 [M].

        The release retrieves and ranks with its own files, as in serving; a target that it does
        not retrieve, or does not have, counts 0.

        Args:
            settings: that the release was built with.

        Raises:
            ReleaseError: a step of the release is missing.
            BuildError: its tables or its ranker cannot be used.
        """
        version = repository / FEATURES.name / str(release)
        step, code = open_feature_step(version / "tables", version), load_step(version)
        model = repository / RANKER.name / str(release) / MODEL
        graph_passes = [p for p in settings.compress.passes if isinstance(p, GraphPass)]
        alone = depends_on_batch(graph_passes)
        found = [
            gains(graph_logits(model, rows, alone=alone, table=version / ITEM_VECTORS), rows)
            for rows in self._retrieved(step, _numbers(self.item_ids, version), code)
        ]
        return np.concatenate([np.zeros(0), *found])

    def _retrieved(
        self, step: FeatureStep, number: NDArray[np.int32], code: ModuleType
    ) -> Iterator[RetrievedCandidates]:
        """Candidates of the queries, some at a time.

        Args:
            number: int32 [J], the release's number of each item, 0 where it has none.
        """
        known = number[self.item] > 0  # As in serving, events of other items are passed over.
        item = number[self.item[known]]
        place: NDArray[np.int64] = np.cumsum(known) - known
        for begin in range(0, len(self.query), _ROWS):
            rows = slice(begin, begin + _ROWS)
            start, end = place[self.start[rows]], place[self.query[rows]]
            history = newest_before(item, start, end, step.tables.history)
            longest = min(int((end - start).max(initial=1)), code.state.KEPT_EVENTS)
            seen = newest_before(item, start, end, max(longest, 1))
            candidate = step.retrieve(history, seen, step.tables.candidates)
            target = number[self.item[self.query[rows]]]
            yield RetrievedCandidates(
                history,
                candidate,
                step.pack(history, candidate),
                np.where(target > 0, target, -1),  # 0 would be found among padding
            )


def _history(dataset: Dataset, user: int) -> list[str]:
    """External ids of all events of a user, oldest first; none of -1."""
    events = dataset.item[dataset.offsets[user] : dataset.offsets[user + 1]] if user >= 0 else ()
    return [dataset.item_ids[item] for item in events]


def _numbers(item_ids: list[str], version: Path) -> NDArray[np.int32]:
    """A release's numbers of items: int32 [J], 0 where it has none."""
    path = version / "tables" / "item_ids.json"
    number = {name: n for n, name in enumerate(json.loads(path.read_text(encoding="utf-8")))}
    return np.array([number.get(name, 0) for name in item_ids], np.int32)
