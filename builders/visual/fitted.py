"""The encoder's graph: exported once, fitted to the catalogue, checked, and compressed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.compress.gates import QualityChange, Timing, refusal
from builders.settings import Settings
from builders.stages import Log
from builders.visual.encoder_graph import (
    FEATURES,
    Encoder,
    export_encoder,
    project_graph,
    run_graph,
    verify_encoder,
)
from builders.visual.gate import Gate, timings
from builders.visual.projection import principal_components
from builders.visual.quantise import quantise_encoder
from builders.visual.sample import Sample
from ensembles.errors import BuildError

_FITTED = 10_000
"""Pictures that principal components are fitted to; a larger catalogue is sampled."""
FEWEST = 20
"""Pictures that INT8 needs: ranges of activations of fewer would be too narrow for others."""


@dataclass(frozen=True)
class Fitted:
    """The encoder in float32, and what its smaller forms are made and judged by.

    Attributes:
        graph: verified against PyTorch.
        kept: share of the features' variance that the projection keeps.
        differences: between PyTorch and the graph, by case.
        calibration: gives pixels that ranges of activations are measured on.
        gate: compares neighbours.
        int8: whether INT8 is to be tried.
    """

    graph: Path
    kept: float
    differences: dict[str, float]
    calibration: Callable[[], Iterable[NDArray[np.float32]]]
    gate: Gate
    int8: bool


@dataclass(frozen=True)
class Int8:
    """What INT8 does to the encoder on the processor.

    Attributes:
        quality: NDCG@10 of neighbours, against those that the float graph finds.
        reason: why it is left out; empty where it is served.
    """

    quality: QualityChange
    reason: str


@dataclass(frozen=True)
class Compressed:
    """The graph that is served on the processor.

    Attributes:
        single, serving: of one picture and of the serving batch by ONNX Runtime, before INT8 and
            after; the same graph twice where INT8 was not tried.
        int8: None where it was not tried.
    """

    single: Timing
    serving: Timing
    int8: Int8 | None


def fit(encoder: Encoder, catalogue: Sample, settings: Settings, work: Path, log: Log) -> Fitted:
    """Export the encoder, and give it the principal components of the catalogue's features.

    Args:
        encoder: without a projection; gets one.
        work: folder for the graph.

    Raises:
        BuildError: no picture can be read, or the backbone cannot be exported.
        VerificationError: the graph differs from PyTorch.
    """
    visual, seed, threads = settings.visual, settings.train.seed, settings.train.threads
    there = [number for number, file in enumerate(catalogue.files) if file is not None]
    order = np.random.default_rng(seed).permutation(there)[:_FITTED].tolist()
    bare, graph = work / "bare.onnx", work / "float.onnx"
    log(f"exporting {visual.backbone} ...")
    export_encoder(encoder, visual.size, bare, settings.export)
    sample = catalogue.some(order).watched("principal components", log)
    features = run_graph(bare, (pixels for _, pixels in sample), FEATURES, threads=threads)
    if not len(features):
        raise BuildError(
            f"expected pictures of the items, but none of {len(order)} can be read; "
            "correct data.images, or set visual.covers"
        )
    projection = principal_components(features, visual.width)
    encoder.project(projection)
    project_graph(bare, projection, graph)
    gated = catalogue.some(order[-visual.gate_pictures :])
    differences = verify_encoder(encoder, graph, next(gated.pixels()), settings.export)
    vectors = run_graph(graph, gated.pixels(), threads=threads)
    gate = Gate(gated.pixels, vectors, seed, threads)
    calibration = catalogue.some(order[: visual.calibration_pictures]).pixels
    tried = visual.quantise and len(features) >= FEWEST
    return Fitted(graph, projection.kept, differences, calibration, gate, tried)


def compress(fitted: Fitted, settings: Settings, target: Path) -> Compressed:
    """Write the graph to serve: in INT8 where that holds both gates of ``[compress]``."""
    float32, pixels = fitted.graph, next(iter(fitted.gate.pixels()))
    if not fitted.int8:
        shutil.copy2(float32, target)
        return Compressed(*timings(float32, float32, pixels, settings), None)
    small = float32.with_name("int8.onnx")
    quantise_encoder(float32, small, fitted.calibration(), symmetric=False)
    quality = fitted.gate.quality(small)
    single, serving = timings(float32, small, pixels, settings)
    reason = refusal(quality, single, serving, settings.compress, None, "encoder")
    shutil.copy2(float32 if reason else small, target)
    return Compressed(single, serving, Int8(quality, reason))
