"""Profiles: which backend runs a step where, and the knobs of serving.

Profiles differ in backends and instance kinds only; tensors are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ensembles.contracts import MAX_BATCH
from ensembles.errors import ContractError
from ensembles.record import RECORD, Recording


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
        max_queue_delay_us: microseconds that a request waits for others to share its batch.
        history, candidates: lengths of the release, that its steps are warmed up with.
        vector_width: of the item table where the features step looks its rows up; an engine is
            warmed up with it.
        state: URL of the user state: ``lmdb://`` and a folder, relative to the repository, or
            ``redis://`` and a host.
        state_timeout_ms: milliseconds that Redis has to answer a batch.
        image_size: rows and columns of a picture, that an engine is warmed up with.
        visual_weight: what a request's picture counts against the user's history, 0 to 1.
        visual_candidates: items that look like it and join the candidates.
        picture_cache_mb: memory of the server for vectors of pictures that come again; 0 for none.
        record: what ``record`` takes; None for a repository without it.
        fuse_steps: the profile's adjacent Python steps run as one model.
    """

    instances: int = 2
    ranker_threads: int = 1
    max_batch: int = MAX_BATCH
    max_queue_size: int = 1024
    queue_timeout_ms: int = 1000
    max_queue_delay_us: int = 0
    history: int = 50
    candidates: int = 200
    vector_width: int = 0
    state: str = "lmdb://../state"
    state_timeout_ms: int = 20
    image_size: int = 224
    visual_weight: float = 0.5
    visual_candidates: int = 100
    picture_cache_mb: int = 0
    record: Recording | None = field(default_factory=Recording)
    fuse_steps: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.max_batch <= MAX_BATCH:
            raise ContractError(f"max_batch is 1 to {MAX_BATCH}; got {self.max_batch}")
        if not 0 <= self.visual_weight <= 1:
            raise ContractError(f"visual_weight is 0 to 1; got {self.visual_weight}")


@dataclass(frozen=True)
class Profile:
    """A backend for each step.

    Attributes:
        on_gpu: steps whose instances are given a GPU.
        fused: adjacent Python steps that can run as one model, see ``ensembles.fuse``.

    Raises:
        ContractError: when asked for a step that the profile does not place.
    """

    name: str
    backends: dict[str, Backend]
    on_gpu: frozenset[str] = frozenset()
    fused: tuple[str, ...] = ()

    def backend(self, step: str) -> Backend:
        """Backend of one step, or of the model that joins the steps ``fused``."""
        if step == "_".join(self.fused):
            return Backend.PYTHON
        if step not in self.backends:
            raise ContractError(f"profile {self.name!r} places no step {step!r}")
        return self.backends[step]


_STEPS = ("preprocess", "image_encoder", "features", "ranker", "policy", RECORD.name)
_ENGINES = dict.fromkeys(("image_encoder", "ranker"), Backend.TENSORRT)

# Pictures take long and their batches are small: the steps before stay models of their own.
CPU = Profile("cpu", dict.fromkeys(_STEPS, Backend.PYTHON), fused=("features", "ranker", "policy"))
GPU = Profile(
    "gpu",
    {**CPU.backends, **_ENGINES},
    # Pictures are decoded there.
    on_gpu=frozenset({"preprocess", *_ENGINES}),
)
