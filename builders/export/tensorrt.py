"""From an ONNX graph to a TensorRT engine, by ``tensorrt`` or ``tensorrt_rtx``.

The building itself is ``serving.engine``'s, which the container that serves uses as well. Here is
what only a build needs: the shapes of a release, and the check that a quantised graph has become
an engine that computes in integers.
"""

from __future__ import annotations

from pathlib import Path

from builders.settings import Settings
from ensembles.contracts import candidate_counts
from ensembles.errors import BuildError, MissingExtra
from serving.engine.build import build_plan
from serving.engine.builder_log import Log
from serving.engine.device import find_gpu
from serving.engine.layers import count
from serving.engine.library import Library, find_library
from serving.engine.profile import EngineProfile
from serving.engine.record import EngineBuild


def builder_here() -> str:
    """What would build engines on this machine, or an empty string: another one builds others."""
    try:
        library = find_library(find_gpu())
    except MissingExtra:
        return ""
    return f"{library.name} {library.version} {library.gpu or ''}".strip()


def engine_profile(settings: Settings) -> EngineProfile:
    """The batch sizes and lengths of a release."""
    most = settings.serving.max_batch
    return EngineProfile(
        history=settings.features.history,
        candidates=candidate_counts(settings.retrieval.candidates),
        serving_batch=min(settings.compress.batch, most),
        max_batch=most,
    )


def build_engine(
    library: Library, graph: Path, folder: Path, profile: EngineProfile, target: str, log: Log
) -> EngineBuild:
    """Write engine, builder log, timing cache, profile and ``BUILD.json`` into ``folder``.

    Args:
        target: compute capability to build for, as ``8.6``, where the library can choose.

    Raises:
        BuildError: TensorRT refuses the graph, or a graph with Q/DQ nodes around its products
            gave an engine that computes nothing in INT8.
    """
    profile.write(folder)
    build = build_plan(library, graph, folder, profile, library.capability(target), log)
    quantised = sum(n for name, n in build.quantise_nodes.items() if name.startswith("QUANTIZE"))
    if quantised and build.layers and not count(build.layers, "INT8"):
        raise BuildError(
            f"{graph.name} has {quantised} nodes that quantise, but none of the layers of its "
            f"engine takes INT8 ({build.layers}); see {folder / 'build.log'}"
        )
    return build
