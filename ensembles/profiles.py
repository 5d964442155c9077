"""Profiles: which backend runs a step where, and the knobs of serving.

Profiles differ in backends and instance kinds only; tensors are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ensembles.contracts import MAX_BATCH
from ensembles.errors import ContractError


class Backend(StrEnum):
    """Triton backends that steps run in."""

    PYTHON = "python"
    TENSORRT = "tensorrt"


@dataclass(frozen=True)
class Knobs:
    """What tuning may change without a new release's model.

    Attributes:
        instances: processes (CPU) or execution contexts (GPU) of each step.
        ranker_threads: ONNX Runtime threads of one ranker instance.
        max_batch: rows in one dynamic batch.
        max_queue_size: requests that wait for a step before new ones are rejected.
        queue_timeout_ms: milliseconds that a request waits at most.
        history, candidates: lengths of the release, that its steps are warmed up with.
        vector_width: of the item table where the features step looks its rows up; an engine is
            warmed up with it.
        state: URL of the user state, ``lmdb://`` and a folder; relative to the repository.
    """

    instances: int = 2
    ranker_threads: int = 1
    max_batch: int = MAX_BATCH
    max_queue_size: int = 1024
    queue_timeout_ms: int = 1000
    history: int = 50
    candidates: int = 200
    vector_width: int = 0
    state: str = "lmdb://../state"

    def __post_init__(self) -> None:
        if not 1 <= self.max_batch <= MAX_BATCH:
            raise ContractError(f"max_batch is 1 to {MAX_BATCH}; got {self.max_batch}")


@dataclass(frozen=True)
class Profile:
    """A backend for each step.

    Raises:
        ContractError: when asked for a step that the profile does not place.
    """

    name: str
    backends: dict[str, Backend]

    def backend(self, step: str) -> Backend:
        """Backend of one step."""
        if step not in self.backends:
            raise ContractError(f"profile {self.name!r} places no step {step!r}")
        return self.backends[step]


CPU = Profile(
    "cpu",
    {"features": Backend.PYTHON, "ranker": Backend.PYTHON, "policy": Backend.PYTHON},
)
GPU = Profile(
    "gpu",
    {"features": Backend.PYTHON, "ranker": Backend.TENSORRT, "policy": Backend.PYTHON},
)
PROFILES = {p.name: p for p in (CPU, GPU)}
