"""Before the server starts with the gpu profile: ranker and image encoder get engines that fit.

Triton loads ``STEP/N/model.plan``. A release holds ``STEP/N/gpu``: the graph, and the engine
that the build made of it. Where that engine fits this GPU and this TensorRT, ``model.plan``
becomes a link to it; otherwise the engine is built again from the graph. What is built here goes
into ``STEP/N/engine_cache``, which is no part of the release, so that a release stays as it was
published; it has a record of its own with the hashes of graph and plan. Where the release cannot
be written, ``linked`` keeps engines elsewhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ensembles.errors import BuildError, ReleaseError, ServerError
from ensembles.profiles import GPU, Backend
from serving.engine.build import LOG, TIMING_CACHE, build_plan
from serving.engine.builder_log import Log
from serving.engine.device import find_gpu
from serving.engine.library import Library, triton_library
from serving.engine.profile import EngineProfile
from serving.engine.record import GRAPH, PLAN, RECORD, unfit
from serving.manifest import ENGINE_CACHE

PUBLISHED = "gpu"
ENGINES = [step for step, backend in GPU.backends.items() if backend == Backend.TENSORRT]
_LOADED = 2
"""Versions of a step that Triton loads: the newest ones."""
_BUILDING = "building-"


def ready_engines(repository: Path, release: int, log: Log) -> None:
    """Ready the engines of ``release`` and of whatever other version Triton loads with it.

    A release without pictures has no image encoder.

    Raises:
        ReleaseError: ``release`` has no graph for the gpu profile.
        ServerError: there is no GPU or no TensorRT, an engine cannot be built, or its folder
            cannot be written.
    """
    library = triton_library(find_gpu())
    for version in engine_versions(repository, release, log):
        ready_engine(version, library, log)


def engine_versions(repository: Path, release: int, log: Log) -> list[Path]:
    """The version folders whose engines Triton loads when it serves ``release``."""
    found = []
    for step in ENGINES:
        folders = [f for f in (repository / step).glob("*") if f.name.isdigit()]
        for folder in sorted(folders, key=lambda f: int(f.name))[-_LOADED:]:
            if int(folder.name) != release and not (folder / PUBLISHED / GRAPH).is_file():
                log(f"{step} {folder.name} has no graph for the gpu profile; Triton cannot load it")
                continue
            found.append(folder)
    return found


def ready_engine(version: Path, library: Library, log: Log) -> None:
    """Let ``model.plan`` in a version folder of a step be an engine that fits ``library``.

    Raises:
        ReleaseError: the version holds no graph for the gpu profile.
        ServerError: the engine cannot be built, or the folder cannot be written.
    """
    graph_of(version)
    with writable(version, version):
        (version / ENGINE_CACHE).mkdir(exist_ok=True)
        folder = fitting_engine(version, version / ENGINE_CACHE, library, log)
        _link(version, folder)
    log(f"{name_of(version)}: engine of {library.name} {library.version} in place")


def fitting_engine(version: Path, cache: Path, library: Library, log: Log) -> Path:
    """The folder of an engine that fits ``library``: the published one, or ``cache``.

    Raises:
        ReleaseError: the version holds no graph for the gpu profile.
        ServerError: the engine cannot be built.
        OSError: ``cache`` cannot be written.
    """
    graph = graph_of(version)
    here = {
        "library": library.name,
        "version": library.version,
        "compute_capability": library.capability(""),
    }
    fits = next((f for f in (graph.parent, cache) if not unfit(f, graph, here)), None)
    if fits is None:
        log(
            f"{name_of(version)}: the published engine is not for this machine "
            f"({unfit(graph.parent, graph, here)}); building it again from {graph.name}"
        )
        _rebuild(graph, cache, library, log)
    return fits or cache


def name_of(version: Path) -> str:
    """Step and version, as messages call them."""
    return f"{version.parent.name} {version.name}"


def graph_of(version: Path) -> Path:
    """The graph that a version's engine is built from.

    Raises:
        ReleaseError: there is none.
    """
    graph = version / PUBLISHED / GRAPH
    if not graph.is_file():
        raise ReleaseError(
            f"expected {graph}, the graph of the gpu profile; build the release again, "
            "or serve it with --profile cpu"
        )
    return graph


@contextmanager
def writable(version: Path, folder: Path) -> Iterator[None]:
    """Turn what ``folder`` cannot take into a ServerError that says what to do."""
    try:
        yield
    except OSError as e:
        raise ServerError(
            f"the engine of {name_of(version)} cannot be put in place: {e.strerror} "
            f"({e.filename}); make {folder} writable for the server, with space for the engine"
        ) from e


def _rebuild(graph: Path, cache: Path, library: Library, log: Log) -> None:
    """Build beside the old engine; the record comes last and says which plan is right."""
    try:
        profile = EngineProfile.read(graph.parent)
        for left in cache.glob(f"{_BUILDING}*"):  # by a server that was killed
            shutil.rmtree(left)
        with TemporaryDirectory(dir=cache, prefix=_BUILDING) as building:
            known = [
                f / TIMING_CACHE for f in (cache, graph.parent) if (f / TIMING_CACHE).is_file()
            ]
            if known:
                shutil.copy2(known[0], building)
            build_plan(library, graph, Path(building), profile, library.capability(""), log)
            for name in (PLAN, LOG, TIMING_CACHE, RECORD):
                Path(building, name).replace(cache / name)
    except BuildError as e:
        raise ServerError(f"the engine cannot be built again: {e}") from e


def _link(version: Path, folder: Path) -> None:
    """Point ``model.plan`` at an engine; a server that loads meanwhile sees the old or the new."""
    partial = version / ENGINE_CACHE / f".{PLAN}"
    partial.unlink(missing_ok=True)
    partial.symlink_to(Path(folder.name, PLAN))
    partial.replace(version / PLAN)
