"""From an ONNX file to an engine with its record, in one folder."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

from ensembles.errors import BuildError
from serving.engine.builder_log import Log, builder_log, progress_monitor
from serving.engine.layers import layers_of
from serving.engine.library import TENSORRT_RTX, Library
from serving.engine.network import parse, quantise_nodes
from serving.engine.profile import EngineProfile
from serving.engine.record import PLAN, EngineBuild, describe

LOG = "build.log"
TIMING_CACHE = "timing.cache"

_Profiles = list[dict[str, list[list[int]]]]


def build_plan(
    library: Library, graph: Path, folder: Path, profile: EngineProfile, capability: str, log: Log
) -> EngineBuild:
    """Write ``model.plan``, ``build.log``, ``timing.cache`` and last ``BUILD.json``.

    A timing cache that is in ``folder`` already is used, so that the same kernels need not be
    measured again; ``tensorrt_rtx`` measures none and keeps an empty one.

    Args:
        capability: compute capability to build for.
        log: prints one line of progress now and then.

    Raises:
        BuildError: TensorRT refuses the graph or its shapes, or cannot build the engine.
    """
    trt = library.module
    started = time.monotonic()
    with (folder / LOG).open("w", encoding="utf-8", buffering=1) as file:
        logger = builder_log(trt, file)
        builder = trt.Builder(logger)
        network = parse(library, builder, logger, graph)
        config = _configure(library, builder, capability, log)
        profiles = _add_profiles(builder, config, network, profile)
        cached = _read_timing_cache(config, folder / TIMING_CACHE)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise BuildError(
                f"{library.name} {library.version} cannot build an engine from {graph.name}: "
                f"{'; '.join(logger.errors) or 'without a reason'}"
            )
        (folder / PLAN).write_bytes(plan)
        (folder / TIMING_CACHE).write_bytes(_serialised(config))
        log(f"engine: {plan.nbytes / 1e6:.1f} MB, timing cache {'used' if cached else 'new'}")
        build = EngineBuild(
            library=library.name,
            version=library.version,
            compute_capability=capability,
            gpu="" if library.name == TENSORRT_RTX or library.gpu is None else library.gpu.name,
            onnx=describe(graph),
            plan=describe(folder / PLAN),
            profiles=profiles,
            layers=layers_of(logger.layers),
            quantise_nodes=quantise_nodes(library, network),
            seconds=round(time.monotonic() - started, 2),
        )
    build.write(folder)
    return build


def _configure(library: Library, builder: Any, capability: str, log: Log) -> Any:
    trt = library.module
    config = builder.create_builder_config()
    # Otherwise the log and the inspector do not tell what a layer computes in.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.progress_monitor = progress_monitor(trt, log)
    # A float32 graph is compared with ONNX Runtime as such; who wants less precision uses FP16.
    config.clear_flag(trt.BuilderFlag.TF32)
    if library.name == TENSORRT_RTX:
        config.num_compute_capabilities = 1
        target = getattr(trt.ComputeCapability, f"SM{capability.replace('.', '')}")
        config.set_compute_capability(target, 0)
    return config


def _add_profiles(builder: Any, config: Any, network: Any, profile: EngineProfile) -> _Profiles:
    """One optimisation profile for each candidate count."""
    inputs = [network.get_input(n) for n in range(network.num_inputs)]
    added: _Profiles = []
    for count in profile.counts:
        ours = builder.create_optimization_profile()
        shapes = {t.name: profile.shapes(t.name, tuple(t.shape), count) for t in inputs}
        for name, (small, usual, large) in shapes.items():
            ours.set_shape(name, small, usual, large)
        if config.add_optimization_profile(ours) < 0:
            raise BuildError(f"TensorRT refuses the optimisation profile {shapes}")
        added.append({name: [list(s) for s in three] for name, three in shapes.items()})
    return added


def _read_timing_cache(config: Any, path: Path) -> bool:
    """Load the cache; one of another version or GPU, or a damaged one, is left alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tensorrt_rtx: it does nothing there
        if path.is_file():
            cache = config.create_timing_cache(path.read_bytes())
            if cache is not None and config.set_timing_cache(cache, False):
                return True
        config.set_timing_cache(config.create_timing_cache(b""), False)
        return False


def _serialised(config: Any) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return bytes(config.get_timing_cache().serialize())
