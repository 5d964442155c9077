"""What every compression pass takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from builders.compress.settings import GraphPass
from builders.dataset.dataset import Dataset
from builders.evaluation.retrieved import RetrievedCandidates
from builders.ranker.interface import Ranker
from builders.ranker.weights import SavedRanker
from builders.retrieval.feature_step import FeatureStep, open_feature_step
from builders.settings import Settings
from ensembles.errors import BuildError

Log = Callable[[str], None]
Chosen_contra = TypeVar("Chosen_contra", contravariant=True)


class DoesNotApply(BuildError):
    """A pass finds nothing in this ranker that it could change; the chain goes on without it."""


@dataclass(frozen=True)
class Model:
    """A ranker on its way through the chain.

    Attributes:
        saved: the ranker in PyTorch, in evaluation mode.
        graph_passes: what is done to its graph after export, in this order. So a pass over
            the graph may stand before one that changes the ranker: the graph is made again.
    """

    saved: SavedRanker
    graph_passes: tuple[GraphPass, ...] = ()

    @property
    def ranker(self) -> Ranker:
        """The ranker itself."""
        return self.saved.ranker

    def with_ranker(self, ranker: Ranker) -> Model:
        """The same with another ranker of the same settings."""
        return replace(self, saved=replace(self.saved, ranker=ranker.eval()))

    def with_graph_pass(self, settings: GraphPass) -> Model:
        """The same with one more pass over the graph."""
        return replace(self, graph_passes=(*self.graph_passes, settings))


def depends_on_batch(graph_passes: Sequence[GraphPass]) -> bool:
    """Whether a row's scores depend on the other rows: one scale for all activations."""
    return any(p.kind == "quantise_dynamic" for p in graph_passes)


@dataclass(frozen=True)
class Outcome:
    """What a pass made.

    Attributes:
        model: the smaller model; the one that came in is unchanged.
        summary: one line for a person.
        layers_title: what the figures by layer are; empty where there are none.
        layers: a figure by layer, as importance, sensitivity or rank.
    """

    model: Model
    summary: str
    layers_title: str = ""
    layers: Mapping[str, float] = field(default_factory=dict)


class Pass(Protocol[Chosen_contra]):
    """One pass.

    Raises:
        DoesNotApply: there is nothing in this ranker that the pass could change.
    """

    def __call__(self, model: Model, settings: Chosen_contra, data: CompressionData) -> Outcome:
        """Make a smaller model; deterministic under ``data.settings.train.seed``."""
        ...


@dataclass(frozen=True)
class CompressionData:
    """What passes and gates may look at; the test split is not among it.

    Attributes:
        dataset: the log; passes read its training events only.
        settings: the whole settings file.
        tables: feature tables from all training events, as they are served.
        teacher: the uncompressed ranker.
        work: folder for checkpoints and graphs; survives a kill.
        log: prints one line.
        common: folder that outlives a single pass, for what several passes need; ``work``
            where it is not set.
    """

    dataset: Dataset
    settings: Settings
    tables: Path
    teacher: SavedRanker
    work: Path
    log: Log
    common: Path | None = None

    @cached_property
    def step(self) -> FeatureStep:
        """The feature step over ``tables``."""
        return open_feature_step(self.tables)

    @cached_property
    def validation(self) -> RetrievedCandidates:
        """Every validation event among what the feature step retrieves: what the gate reads."""
        return RetrievedCandidates.of(self.dataset, self.step, self.settings, "validation")

    @cached_property
    def calibration(self) -> RetrievedCandidates:
        """Real rows for importance and calibration: the last training event of some users.

        Where the target was not retrieved it takes the place of the last candidate, so that a
        loss can be computed: ``target`` is among ``candidate`` in every row.
        """
        data, length = self.dataset, self.settings.features.history
        users = np.flatnonzero(data.train_end - data.offsets[:-1] >= 2)
        rng = np.random.default_rng(self.settings.train.seed)
        chosen = rng.permutation(users)[: self.settings.compress.calibration_users]
        end = data.train_end[chosen] - 1
        history, target = data.before(chosen, end, length), data.item[end]
        candidate = self.step.retrieve(history, history, self.settings.retrieval.candidates)
        missing = ~(candidate == target[:, None]).any(axis=1)
        candidate[missing, -1] = target[missing]
        return RetrievedCandidates(history, candidate, self.step.pack(history, candidate), target)
