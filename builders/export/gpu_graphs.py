"""The graphs of the gpu profile: float32, FP16 and INT8, with an engine of each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from builders.compress.gates import QualityChange, gains, graph_logits, quality_change
from builders.compress.interface import CompressionData, Log, Model
from builders.export.engine_check import check_engine
from builders.export.gpu_forms import FLOAT32, FP16, INT8, gpu_forms
from builders.export.tensorrt import build_engine, engine_profile
from builders.export.verify import Feeds, repeated
from builders.settings import Settings
from ensembles.errors import MissingExtra
from serving.engine.build import LOG, TIMING_CACHE
from serving.engine.device import find_gpu
from serving.engine.library import Library, find_library
from serving.engine.profile import EngineProfile
from serving.engine.record import GRAPH, NOT_EXECUTED, PLAN, RECORD, EngineBuild

NO_ENGINE = "no engine: TensorRT is not installed"

_TOLERANCE = {FLOAT32: 1.0, FP16: 20.0, INT8: 50.0}
"""Multiples of ``export.tolerance``: other kernels round otherwise, in half precision at the third
decimal, in INT8 now and then by a whole step."""


@dataclass(frozen=True)
class GpuGraph:
    """One of the graphs.

    Attributes:
        name: ``float32``, ``fp16`` or ``int8_qdq``.
        bytes: of the ONNX file.
        quality: by ONNX Runtime, against the uncompressed model's: of the ranker NDCG@10 on
            validation.
        holds: whether that is within ``compress.max_quality_loss``.
        engine: None where TensorRT is not installed.
    """

    name: str
    bytes: int
    quality: QualityChange
    holds: bool
    engine: EngineBuild | None

    @property
    def milliseconds(self) -> float | None:
        """Measured at the serving batch; None where the engine was not executed."""
        if self.engine is None or isinstance(self.engine.executed, str):
            return None
        batch = self.engine.profiles[0]
        usual = next(iter(batch.values()))[1][0]
        return float(self.engine.executed["milliseconds"][f"batch {usual}"])


@dataclass(frozen=True)
class Trial:
    """What graphs are compared by.

    Attributes:
        quality: of a graph by ONNX Runtime, against the graph before compression.
        feeds: inputs of real rows, by the number of rows.
        profile: shapes that engines are built for.
        settings: gates, tolerance and target.
        work: folder for what engines share.
        log: prints one line.
    """

    quality: Callable[[Path], QualityChange]
    feeds: Feeds
    profile: EngineProfile
    settings: Settings
    work: Path
    log: Log


@dataclass(frozen=True)
class GpuGraphs:
    """All of them, and the name of the one that is published.

    Attributes:
        graphs: float32 first; INT8 is missing where a ranker has nothing that could be quantised.
        chosen: name of a graph.
    """

    graphs: tuple[GpuGraph, ...]
    chosen: str

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "chosen": self.chosen,
            "graphs": {
                g.name: {**asdict(g), "engine": g.engine.to_json() if g.engine else NO_ENGINE}
                for g in self.graphs
            },
        }

    def summary(self) -> str:
        """One line for a person."""
        return f"gpu profile: {self.chosen}; " + ", ".join(_line(g) for g in self.graphs)


def gpu_graphs(model: Model, data: CompressionData, folder: Path, uncompressed: Path) -> GpuGraphs:
    """Make the three graphs and their engines; leave the one to publish in ``folder``.

    ``folder`` gets the graph, its profile and, where TensorRT is installed, its engine with
    ``BUILD.json``, builder log and timing cache. Where the engines ran, the fastest one whose
    scores hold the quality gate is chosen; else FP16 if it holds the gate, else float32.

    Args:
        model: the compressed ranker; passes over its graph are the cpu profile's.
        folder: exists.
        uncompressed: graph of the ranker before compression.

    Raises:
        BuildError: a graph cannot be made, or TensorRT refuses it.
        VerificationError: an engine ran, and its scores differ from ONNX Runtime's.
    """
    before = gains(graph_logits(uncompressed, data.validation), data.validation)

    def quality(graph: Path) -> QualityChange:
        after = gains(graph_logits(graph, data.validation), data.validation)
        return quality_change(before, after, data.settings.train.seed)

    profile, feeds = engine_profile(data.settings), repeated(data.validation)
    trial = Trial(quality, feeds, profile, data.settings, data.work, data.log)
    with TemporaryDirectory(dir=data.work) as work:
        return best_graph(gpu_forms(model, data, Path(work)), trial, folder)


def best_graph(made: Mapping[str, Path], trial: Trial, folder: Path) -> GpuGraphs:
    """Build an engine of each graph, and leave the graph to publish in ``folder``.

    Args:
        made: graphs by name, each in a folder of its own.
        folder: exists; gets what ``gpu_graphs`` describes.

    Raises:
        BuildError: TensorRT refuses a graph.
        VerificationError: an engine ran, and its results differ from ONNX Runtime's.
    """
    library = _library(trial.log)
    trial.profile.write(folder)
    found = []
    for name, graph in made.items():
        quality = trial.quality(graph)
        holds = quality.change >= -trial.settings.compress.max_quality_loss
        engine = _engine(library, graph, name, trial) if library else None
        found.append(GpuGraph(name, graph.stat().st_size, quality, holds, engine))
    chosen = choose(found)
    shutil.copy2(made[chosen], folder / GRAPH)
    for name in (PLAN, RECORD, LOG, TIMING_CACHE):
        if library:
            shutil.copy2(made[chosen].parent / name, folder / name)
    return GpuGraphs(tuple(found), chosen)


def choose(graphs: Sequence[GpuGraph]) -> str:
    """Name of the graph to publish: measured where that was possible, cautious where not."""
    holding = {g.name: g for g in graphs if g.holds}
    timed = {name: t for name, g in holding.items() if (t := g.milliseconds) is not None}
    if timed:
        return min(timed, key=lambda name: timed[name])
    return FP16 if FP16 in holding else FLOAT32


def _library(log: Log) -> Library | None:
    try:
        return find_library(find_gpu())
    except MissingExtra as e:
        log(f"{NO_ENGINE} ({e})")
        return None


def _engine(library: Library, graph: Path, name: str, trial: Trial) -> EngineBuild:
    export = trial.settings.export
    cache = trial.work / TIMING_CACHE
    with _kept(cache, graph.parent / TIMING_CACHE):
        build_engine(
            library,
            graph,
            graph.parent,
            trial.profile,
            export.compute_capability,
            lambda line: trial.log(f"{name} {line}"),
        )
    tolerance = export.tolerance * _TOLERANCE[name]
    return check_engine(library, graph, graph.parent, trial.feeds, tolerance)


@contextmanager
def _kept(cache: Path, used: Path) -> Iterator[None]:
    """Let engines that are built one after the other share what was measured."""
    if cache.is_file():
        shutil.copy2(cache, used)
    yield
    shutil.copy2(used, cache)


def _line(graph: GpuGraph) -> str:
    quality = f"NDCG@10 {graph.quality.change:+.2%}"
    if graph.engine is None:
        return f"{graph.name} {graph.bytes / 1e6:.1f} MB, {quality} ({NO_ENGINE})"
    ran = graph.milliseconds
    speed = NOT_EXECUTED if ran is None else f"{ran:.3f} ms at the serving batch"
    size = graph.engine.plan["bytes"] / 1e6
    return f"{graph.name} engine {size:.1f} MB, {quality}, {speed}"
