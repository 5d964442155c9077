"""Settings of compression: the gates, and the chain of passes in the order of the file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from builders.ranker.settings import Ranker
from builders.section import Section

_NOISE = 0.05


class _Pass(Section):
    """What every pass has."""

    max_slowdown: float | None = Field(None, ge=0, le=1)
    """Set: a pass that is made for size or quality need not be faster; it may be slower by
    this share at most. Not set: it must be faster by ``compress.min_gain``."""


class Recovering(_Pass):
    """A pass after which the ranker may be trained again, before the gates look at it."""

    recover_epochs: int = Field(0, ge=0)
    """Epochs of distillation from the uncompressed ranker."""
    recover_learning_rate: float = Field(5e-4, gt=0)


class PruneHeads(Recovering):
    """Take out the attention heads that matter least."""

    kind: Literal["prune_heads"] = "prune_heads"
    keep: float = Field(0.5, gt=0, le=1)
    """Share of all heads that stays; every block keeps one."""
    importance: Literal["taylor", "activation"] = "taylor"


class PruneChannels(Recovering):
    """Take out the feed-forward channels that matter least."""

    kind: Literal["prune_channels"] = "prune_channels"
    keep: float = Field(0.5, gt=0, le=1)
    """Share of all channels that stays; every block keeps a multiple of 8, at least 8."""
    importance: Literal["taylor", "activation"] = "taylor"


class PruneLayers(Recovering):
    """Take out the blocks that matter least."""

    kind: Literal["prune_layers"] = "prune_layers"
    keep: int = Field(ge=1)
    """Number of blocks that stay."""
    importance: Literal["taylor", "activation"] = "activation"


class Factorise(Recovering):
    """Replace linear layers by two narrow ones, by activation-aware SVD."""

    kind: Literal["factorise"] = "factorise"
    keep: float = Field(0.5, gt=0, lt=1)
    """Share of the factorised layers' parameters that stays, spread by singular values."""
    items: bool = False
    """Factorise the item table too."""


class Distil(_Pass):
    """Train a student against the uncompressed ranker's scores over the catalogue."""

    kind: Literal["distil"] = "distil"
    student: Ranker | None = None
    """Shape of the student; not set: the ranker as it is so far."""
    epochs: int = Field(20, ge=1)
    patience: int = Field(5, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    temperature: float | None = Field(None, gt=0)
    """Scores of both are divided by it before they are compared; not set: as in training."""
    label_weight: float = Field(0.5, ge=0, le=1)
    """Share of the loss that is the training events' own; the rest is the teacher's."""

    @model_validator(mode="before")
    @classmethod
    def _same_shape_is_as_fast(cls, raw: Any) -> Any:
        """Without another shape a pass is for quality: it may be slower by as much as noise."""
        if isinstance(raw, dict) and raw.get("student") is None:
            return {"max_slowdown": _NOISE, **raw}
        return raw


class QuantiseStatic(_Pass):
    """INT8 with Q/DQ nodes, calibrated: symmetric, weights per channel, MatMul and Gemm only."""

    kind: Literal["quantise_static"] = "quantise_static"
    calibration: Literal["percentile", "entropy"] = "percentile"
    percentile: float = Field(99.99, gt=50, le=100)
    sensitivity: float = Field(0.002, ge=0)
    """A layer that alone loses more than this share of NDCG@10 stays in float."""
    keep_float: tuple[str, ...] = ()
    """Nodes that stay in float; the pass adds those that it finds sensitive."""


class QuantiseDynamic(_Pass):
    """INT8 weights, activations quantised while they flow; for the processor only."""

    kind: Literal["quantise_dynamic"] = "quantise_dynamic"
    sensitivity: float = Field(0.002, ge=0)
    keep_float: tuple[str, ...] = ()


class QuantiseItems(_Pass):
    """The item table in INT8, one scale a row."""

    kind: Literal["quantise_items"] = "quantise_items"


class HalfPrecision(_Pass):
    """FP16 weights and activations; made for the gpu profile."""

    kind: Literal["fp16"] = "fp16"


GraphPass = QuantiseStatic | QuantiseDynamic | HalfPrecision
"""Passes over the exported graph; all others change the ranker in PyTorch."""

AnyPass = (
    PruneHeads
    | PruneChannels
    | PruneLayers
    | Factorise
    | Distil
    | QuantiseStatic
    | QuantiseDynamic
    | QuantiseItems
    | HalfPrecision
)


class Compress(Section):
    """The chain and its gates."""

    max_quality_loss: float = Field(0.01, ge=0, lt=1)
    """Share of the uncompressed ranker's validation NDCG@10 that the whole chain may cost."""
    min_gain: float = Field(0.02, ge=0, lt=1)
    """A pass is faster when it takes off at least this share of the time."""
    batch: int = Field(16, ge=2, le=128)
    """Rows of the serving batch that latency is measured at, beside 1."""
    rounds: int = Field(60, ge=10)
    """Alternating runs of a latency measurement, at each batch size."""
    calibration_users: int = Field(512, ge=8)
    """Users whose training histories importance and calibration are measured on."""
    search_epochs: int = Field(20, ge=1)
    """Most epochs of a distillation that ``millirank compress`` tries."""
    passes: tuple[Annotated[AnyPass, Field(discriminator="kind")], ...] = ()
