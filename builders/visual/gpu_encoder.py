"""The encoder's graphs for the gpu profile, compared as the ranker's are."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from builders.compress.half_precision import halved
from builders.export.gpu_forms import FLOAT32, FP16, INT8
from builders.export.gpu_graphs import GpuGraphs, Trial, best_graph
from builders.export.verify import Feed
from builders.settings import Settings
from builders.stages import Log
from builders.visual.encoder_graph import after_backbone
from builders.visual.fitted import Fitted
from builders.visual.quantise import quantise_encoder
from ensembles.contracts import PIXELS
from serving.engine.profile import EngineProfile
from serving.engine.record import GRAPH


def gpu_encoder(
    fitted: Fitted, settings: Settings, folder: Path, work: Path, log: Log
) -> GpuGraphs:
    """Float32, FP16 and, where it is to be tried, INT8; leaves the best in ``folder``.

    Args:
        folder: exists; gets graph, profile and, where TensorRT is installed, its engine.
        work: folder for what is made on the way.

    Raises:
        BuildError: TensorRT refuses a graph.
        VerificationError: an engine ran, and its vectors differ from ONNX Runtime's.
    """
    some = next(iter(fitted.gate.pixels()))

    def feeds(session: Any, rows: int) -> Feed:
        del session
        return {PIXELS.name: some[np.arange(rows) % len(some)]}

    most = settings.serving.max_batch
    profile = EngineProfile(serving_batch=min(settings.compress.batch, most), max_batch=most)
    trial = Trial(fitted.gate.quality, feeds, profile, settings, work, log)
    with TemporaryDirectory(dir=work) as made:
        return best_graph(_forms(fitted, Path(made)), trial, folder)


def _forms(fitted: Fitted, work: Path) -> dict[str, Path]:
    names = (FLOAT32, FP16, INT8) if fitted.int8 else (FLOAT32, FP16)
    made = {name: work / name / GRAPH for name in names}
    for graph in made.values():
        graph.parent.mkdir()
    model = onnx.load(fitted.graph)
    onnx.save(model, made[FLOAT32])
    onnx.save(halved(model, after_backbone(model)), made[FP16])
    if fitted.int8:
        quantise_encoder(fitted.graph, made[INT8], fitted.calibration(), symmetric=True)
    return made
