"""The shapes that an engine is built for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ensembles.errors import BuildError

PROFILE = "profile.json"
"""File beside the graph, so that an engine can be built again without the builder."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class EngineProfile:
    """Lengths and batch sizes of a release.

    Attributes:
        serving_batch: rows that the kernels are chosen for.
        max_batch: most rows.
        history: events of a history; 0 where no input has such a length.
        candidates: candidate counts of requests, which are padded to one of them. Each gets an
            optimisation profile of its own: a kernel that fits one length beats one for all.
            Empty where no input has such a length; then there is one profile.
    """

    serving_batch: int
    max_batch: int
    history: int = 0
    candidates: tuple[int, ...] = ()

    @property
    def counts(self) -> tuple[int, ...]:
        """Of each optimisation profile, its candidate count."""
        return self.candidates or (0,)

    def shapes(
        self, name: str, shape: Sequence[int], candidates: int
    ) -> tuple[Shape, Shape, Shape]:
        """Smallest, usual and largest shape of an input of the graph, in one profile.

        Args:
            name: inputs named ``history...`` are [batch, history, ...], those named
                ``candidate...`` are [batch, candidates, ...]; of others only the batch is free.
            shape: as in the graph, -1 where it is free.

        Raises:
            BuildError: another input, or a fixed length that is not the release's.
        """
        lengths = {"history": self.history, "candidate": candidates}
        fixed = shape[1] if len(shape) > 1 and shape[1] != -1 else 0
        length = next((n for start, n in lengths.items() if name.startswith(start)), fixed)
        if not length or len(shape) < 2 or -1 in shape[2:]:
            raise BuildError(
                f"the graph's input {name!r} of shape {tuple(shape)} is neither a history nor a "
                "candidate tensor, nor is its batch the only free length, so that an engine's "
                "shapes for it are unknown"
            )
        if shape[0] != -1 or shape[1] not in {-1, length}:
            raise BuildError(
                f"the graph's input {name!r} has the shape {tuple(shape)}, expected "
                f"{(-1, length, *shape[2:])}; export it with a free batch"
            )
        small, usual, large = (
            (batch, length, *shape[2:]) for batch in (1, self.serving_batch, self.max_batch)
        )
        return small, usual, large

    def write(self, folder: Path) -> None:
        """Write ``profile.json`` into ``folder``."""
        (folder / PROFILE).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> EngineProfile:
        """Read ``profile.json``.

        Raises:
            BuildError: it is missing or damaged.
        """
        try:
            found = json.loads((folder / PROFILE).read_text(encoding="utf-8"))
            return cls(**{**found, "candidates": tuple(found["candidates"])})
        except (OSError, ValueError, TypeError, KeyError) as e:
            raise BuildError(
                f"{folder / PROFILE} cannot be read ({e}); build the release again"
            ) from e
