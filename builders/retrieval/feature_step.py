"""The feature step that Triton runs, for builders: the same files, loaded from their folder."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ensembles.errors import BuildError
from ensembles.step_code import load_step

_VERSION = Path(__file__).resolve().parents[2] / "model_repository" / "features" / "1"


class VisualTable(Protocol):
    """What builders use of ``features_step.visual.VisualTable``."""

    def add_similar(
        self,
        query: NDArray[np.float32],
        seen: NDArray[np.int32],
        found: NDArray[np.int32],
        count: int,
    ) -> NDArray[np.int32]:
        """Candidates [B, C] after unseen items that look like the queries [B, V] have joined."""

    def write_columns(
        self,
        packed: NDArray[np.float32],
        query: NDArray[np.float32],
        history: NDArray[np.int32],
        candidate: NDArray[np.int32],
        weight: float,
    ) -> None:
        """Put what the queries' pictures count into packed features, in place."""


class Tables(Protocol):
    """What builders read of ``features_step.tables.Tables``; meanings and shapes are there."""

    @property
    def items(self) -> int: ...
    @property
    def history(self) -> int: ...
    @property
    def candidates(self) -> int: ...
    @property
    def recent(self) -> int: ...
    @property
    def event_weights(self) -> NDArray[np.float32]: ...
    @property
    def popularity(self) -> NDArray[np.float32]: ...
    @property
    def recency(self) -> NDArray[np.float32]: ...
    @property
    def neighbour_item(self) -> NDArray[np.int32]: ...
    @property
    def neighbour_weight(self) -> NDArray[np.float32]: ...
    @property
    def factors(self) -> NDArray[np.float32]: ...
    @property
    def categories(self) -> NDArray[np.float32]: ...
    @property
    def visual(self) -> VisualTable | None: ...


class FeatureStep(Protocol):
    """What builders use of ``model_repository/features/1/features_step``."""

    tables: Tables

    def retrieve(
        self, history: NDArray[np.int32], seen: NDArray[np.int32], count: int
    ) -> NDArray[np.int32]:
        """Unseen candidates, best first: int32 [B, count], 0 where none are left.

        Args:
            history: int32 [B, H], padded left with 0, newest last.
            seen: int32 [B, S] items to leave out, 0 for none.
            count: candidates a row.
        """

    def near_share(
        self, score: NDArray[np.float32], best: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Neighbour sums [B, C], given each row's best [B], on the scale of the features."""

    def pack(self, history: NDArray[np.int32], candidate: NDArray[np.int32]) -> NDArray[np.float32]:
        """Candidate features, float32 [B, C, 7], of candidates int32 [B, C]."""


def open_feature_step(tables: Path, version: Path = _VERSION) -> FeatureStep:
    """The step of ``version`` over a folder of tables that ``write_tables`` wrote.

    Raises:
        BuildError: the tables are missing or do not fit together.
        ReleaseError: ``version`` holds no step.
    """
    step = load_step(version)
    try:
        return cast("FeatureStep", step.FeatureStep(step.Tables.load(tables)))
    except ValueError as e:
        raise BuildError(f"the feature tables cannot be used: {e}") from e
