"""Where a GPU exists: the engine against ONNX Runtime on real rows, and how long it takes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from builders.export.verify import Feed, Feeds, open_session
from ensembles.errors import VerificationError
from serving.engine.layers import layers_of
from serving.engine.library import Library
from serving.engine.profile import EngineProfile
from serving.engine.record import PLAN, EngineBuild

if TYPE_CHECKING:
    from builders.export.engine_run import RunningEngine

_WARM_UP, _RUNS = 5, 50


def can_execute(library: Library, build: EngineBuild) -> bool:
    """Whether the engine is for the GPU here, and PyTorch reaches that GPU."""
    import torch

    gpu = library.gpu
    return (
        gpu is not None and gpu.capability == build.compute_capability and torch.cuda.is_available()
    )


def check_engine(
    library: Library, graph: Path, folder: Path, feeds: Feeds, tolerance: float
) -> EngineBuild:
    """Run the engine in ``folder``, and write what was found into its ``BUILD.json``.

    Without a GPU that fits, the record stays as it is: it says that nothing was executed.

    Args:
        graph: what the engine was built from.
        feeds: inputs for a session, of real rows, by the number of rows.
        tolerance: largest difference of a score from ONNX Runtime.

    Raises:
        VerificationError: a score differs by more, or is no number.
        BuildError: the engine cannot be loaded or run.
    """
    build = EngineBuild.read(folder)
    if not can_execute(library, build):
        return build
    from builders.export.engine_run import RunningEngine

    engine, session = RunningEngine(library, folder / PLAN), open_session(graph)
    profile = EngineProfile.read(folder)
    gaps, spent = {}, {}
    for batch in sorted({1, profile.serving_batch, profile.max_batch}):
        feed = feeds(session, batch)
        (expected,) = session.run(None, feed)
        gaps[f"batch {batch}"] = float(np.abs(engine.run(feed) - expected).max())
        spent[f"batch {batch}"] = _milliseconds(engine, feed)
    if wrong := {name: gap for name, gap in gaps.items() if not gap <= tolerance}:
        raise VerificationError(
            f"the engine of {graph.name} differs from ONNX Runtime by more than {tolerance:g}: "
            + ", ".join(f"{name} {gap:.2g}" for name, gap in wrong.items())
        )
    executed = {"differences": gaps, "tolerance": tolerance, "milliseconds": spent}
    layers = layers_of(engine.inspect(library)) or build.layers
    build = replace(build, executed=executed, layers=layers)
    build.write(folder)
    return build


def _milliseconds(engine: RunningEngine, feed: Feed) -> float:
    """Median time of a run, copies to the GPU and back included."""
    spent = []
    for _ in range(_WARM_UP + _RUNS):
        started = time.perf_counter()
        engine.run(feed)
        spent.append((time.perf_counter() - started) * 1e3)
    return round(float(np.median(spent[_WARM_UP:])), 4)
