"""The graphs of the gpu profile and their engines, built for real, and which one is published."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from shutil import copy

import onnx
import pytest

import builders.export.gpu_forms as forms
import builders.export.gpu_graphs as module
from builders.compress.gates import QualityChange
from builders.compress.graph import materialise
from builders.compress.interface import CompressionData, Model
from builders.compress.quantise_items import quantise_items
from builders.compress.quantise_static import quantise_statically
from builders.compress.settings import QuantiseDynamic, QuantiseItems, QuantiseStatic
from builders.export.engine_check import check_engine
from builders.export.gpu_forms import FLOAT32, FP16, INT8, quantisation_of
from builders.export.gpu_graphs import NO_ENGINE, GpuGraph, choose, gpu_graphs
from builders.export.item_lookup import outgrows
from builders.export.tensorrt import build_engine, engine_profile
from builders.export.verify import repeated
from builders.ranker.compact import RowInt8Embedding
from builders.ranker.registry import build_ranker
from builders.ranker.tied import TiedRanker
from ensembles.errors import BuildError, MissingExtra
from serving.engine.layers import count
from serving.engine.library import find_library
from serving.engine.record import NOT_EXECUTED, EngineBuild, describe

pytest.importorskip("tensorrt_rtx", reason="extra tensorrt is not installed")
LIBRARY = find_library(None)


@pytest.fixture(scope="module")
def uncompressed(trained: CompressionData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher's graph, exported once."""
    folder = tmp_path_factory.mktemp("graph")
    materialise(Model(trained.teacher), replace(trained, work=folder), folder / "float.onnx")
    return folder / "float.onnx"


@pytest.fixture
def exported(uncompressed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher's graph instead of another export of it."""
    monkeypatch.setattr(forms, "materialise", lambda m, d, target: copy(uncompressed, target))
    monkeypatch.setattr(module, "find_gpu", lambda: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gpu").mkdir()
    return tmp_path / "gpu"


@pytest.mark.usefixtures("exported")
def test_engines_of_all_three(
    data: CompressionData, teacher: Model, uncompressed: Path, folder: Path
) -> None:
    found = gpu_graphs(teacher, data, folder, uncompressed)
    assert [g.name for g in found.graphs] == [FLOAT32, FP16, INT8]
    engines = {g.name: g.engine for g in found.graphs}
    for name, engine in engines.items():
        assert engine is not None
        assert (engine.library, engine.compute_capability) == ("tensorrt_rtx", "8.6"), name
        assert engine.executed == NOT_EXECUTED == "engine not executed"
    float32, fp16, int8 = (engines[n] for n in (FLOAT32, FP16, INT8))
    assert float32
    assert set(float32.layers["gemm"]) == {"FP32"}
    assert float32.quantise_nodes == {}
    assert fp16
    assert count(fp16.layers, "FP16") > 0
    assert "FP16" in fp16.layers["gemm"]
    assert int8
    assert int8.layers["gemm"]["INT8"] > 0
    assert int8.quantise_nodes["QUANTIZE INT8"] > 0
    assert count(float32.layers, "INT8") == count(fp16.layers, "INT8") == 0
    files = {"model.onnx", "model.plan", "BUILD.json", "build.log", "timing.cache", "profile.json"}
    assert {p.name for p in folder.iterdir()} == files
    record = EngineBuild.read(folder)
    assert record == engines[found.chosen]
    assert record.onnx == describe(folder / "model.onnx")
    assert record.plan == describe(folder / "model.plan")
    json.dumps(found.to_json())
    assert found.summary().count("engine not executed") == 3


@pytest.mark.slow
def test_a_ranker_without_products_of_its_own(
    data: CompressionData,
    teacher: Model,
    uncompressed: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "find_gpu", lambda: None)
    said: list[str] = []
    shape = data.settings.ranker.model_copy(update={"kind": "lstm"})
    ranker = build_ranker(data.dataset.items, teacher.saved.history, shape)
    data = replace(data, log=said.append)
    found = gpu_graphs(teacher.with_ranker(ranker), data, folder, uncompressed)
    assert [g.name for g in found.graphs] == [FLOAT32, FP16]
    assert "int8_qdq: the ranker has no matrix product that could be quantised" in said
    fp16 = found.graphs[1].engine
    assert fp16
    assert fp16.layers["gemm"]["FP16"] > 0


@pytest.mark.usefixtures("exported")
def test_without_tensorrt(
    data: CompressionData,
    teacher: Model,
    uncompressed: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(gpu: object) -> None:
        raise MissingExtra("TensorRT", "tensorrt")

    said: list[str] = []
    monkeypatch.setattr(module, "find_library", missing)
    found = gpu_graphs(teacher, replace(data, log=said.append), folder, uncompressed)
    assert {p.name for p in folder.iterdir()} == {"model.onnx", "profile.json"}
    assert NO_ENGINE in found.summary()
    assert "pip install" in said[0]
    graphs = found.to_json()["graphs"]
    assert all(g["engine"] == "no engine: TensorRT is not installed" for g in graphs.values())


def test_layers_that_the_cpu_profile_found_sensitive_stay_in_float(teacher: Model) -> None:
    static = QuantiseStatic(keep_float=("a",))
    assert quantisation_of(teacher.with_graph_pass(static)) == static
    dynamic = teacher.with_graph_pass(QuantiseDynamic(keep_float=("b",)))
    assert quantisation_of(dynamic) == QuantiseStatic(keep_float=("b",))
    assert quantisation_of(teacher) == QuantiseStatic()


def test_both_profiles_take_the_same_inputs(
    data: CompressionData, teacher: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit lies between the sizes of a table in integers and written out."""
    asked: list[tuple[Model, CompressionData]] = []
    monkeypatch.setattr(forms, "materialise", lambda m, d, target: asked.append((m, d)))
    integers = quantise_items(teacher, QuantiseItems(), data).model
    for model in (teacher, integers):
        ranker = model.ranker
        assert isinstance(ranker, TiedRanker)
        held = sum(t.nbytes for t in ranker.item.state_dict().values())
        export = data.settings.export.model_copy(update={"max_item_table_mb": held / 1e6})
        settings = data.settings.model_copy(update={"export": export})
        forms._write_float(model, replace(data, settings=settings), tmp_path / "model.onnx")
        (written, seen), limits = asked[-1], settings.export
        assert not outgrows(ranker, limits)
        assert not outgrows(written.ranker, seen.settings.export)
        assert not any(isinstance(m, RowInt8Embedding) for m in written.ranker.modules())


def test_a_quantised_graph_whose_engine_computes_in_float_is_refused(
    data: CompressionData, uncompressed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantised = tmp_path / "model.onnx"
    quantise_statically(QuantiseStatic(), uncompressed, quantised, data)
    profile = engine_profile(data.settings)
    monkeypatch.setattr("serving.engine.build.layers_of", lambda lines: {"gemm": {"FP32": 3}})
    with pytest.raises(BuildError, match="none of the layers of its engine takes INT8"):
        build_engine(LIBRARY, quantised, tmp_path, profile, "8.6", data.log)


def test_a_refused_graph_fails_the_build(
    data: CompressionData, uncompressed: Path, tmp_path: Path
) -> None:
    model = onnx.load(uncompressed)
    node = next(n for n in model.graph.node if n.op_type == "MatMul")
    node.op_type, node.domain = "Improved", "own"
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))
    onnx.save(model, tmp_path / "own.onnx")
    profile = engine_profile(data.settings)
    with pytest.raises(BuildError, match=rf"refuses own\.onnx: node '{node.name}' \(Improved\)"):
        build_engine(LIBRARY, tmp_path / "own.onnx", tmp_path, profile, "8.6", data.log)
    assert not (tmp_path / "BUILD.json").exists()


def test_the_profile_of_a_release(data: CompressionData) -> None:
    found = engine_profile(data.settings)
    lengths = json.loads((data.tables / "lengths.json").read_text())
    assert list(found.candidates) == [lengths["candidates"], *lengths["candidate_buckets"]]
    assert (found.history, found.serving_batch, found.max_batch) == (8, 4, 128)


def test_without_a_gpu_nothing_is_claimed(
    data: CompressionData, uncompressed: Path, tmp_path: Path
) -> None:
    profile = engine_profile(data.settings)
    build = build_engine(LIBRARY, uncompressed, tmp_path, profile, "8.6", data.log)
    before = (tmp_path / "BUILD.json").read_bytes()
    assert check_engine(LIBRARY, uncompressed, tmp_path, repeated(data.validation), 1e-3) == build
    assert (tmp_path / "BUILD.json").read_bytes() == before
    assert b'"executed": "engine not executed"' in before


def _graph(name: str, *, holds: bool = True, milliseconds: float | None = None) -> GpuGraph:
    executed = NOT_EXECUTED if milliseconds is None else {"milliseconds": {"batch 4": milliseconds}}
    shapes = [[1, 8], [4, 8], [16, 8]]
    engine = EngineBuild(
        library="tensorrt",
        version="10",
        compute_capability="8.6",
        gpu="A10",
        onnx={},
        plan={"bytes": 1},
        profiles=[{"history": shapes}],
        layers={},
        quantise_nodes={},
        seconds=1.0,
        executed=executed,
    )
    return GpuGraph(name, 1, QualityChange(0.1, 0.0, 0.0, 0.0), holds, engine)


def test_choice_without_a_gpu() -> None:
    assert choose([_graph(FLOAT32), _graph(FP16), _graph(INT8)]) == FP16
    assert choose([_graph(FLOAT32), _graph(FP16, holds=False), _graph(INT8)]) == FLOAT32
    assert choose([_graph(n, holds=False) for n in (FLOAT32, FP16, INT8)]) == FLOAT32


def test_choice_on_a_gpu() -> None:
    timed = [_graph(FLOAT32, milliseconds=3), _graph(FP16, milliseconds=2)]
    assert choose([*timed, _graph(INT8, milliseconds=1)]) == INT8
    assert choose([*timed, _graph(INT8, milliseconds=1, holds=False)]) == FP16
    assert choose([*timed, _graph(INT8, milliseconds=9)]) == FP16
