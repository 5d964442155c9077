"""Engines built for real, ahead of time, from a tiny graph; and what the record says of them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

import serving.engine.build as build_module
from ensembles.errors import BuildError, MissingExtra, ServerError
from serving.engine import library as library_module
from serving.engine.build import build_plan
from serving.engine.builder_log import progress_monitor
from serving.engine.device import Gpu, find_gpu
from serving.engine.layers import count, layers_of
from serving.engine.library import Library, find_library, triton_library
from serving.engine.profile import EngineProfile
from serving.engine.record import EngineBuild, describe
from tests.unit.serving.engine_graph import PROFILE, write_graph

trt = pytest.importorskip("tensorrt_rtx", reason="extra tensorrt is not installed")
LIBRARY = Library(trt, "tensorrt_rtx", None)
A10 = Gpu("NVIDIA A10", "8.6")


def _silent(line: str) -> None:
    del line


def test_a_record_says_what_an_engine_is(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "model.onnx")
    build = build_plan(LIBRARY, graph, tmp_path, PROFILE, "8.9", _silent)
    assert build.plan == describe(tmp_path / "model.plan")
    assert build.onnx == describe(graph)
    assert (build.library, build.version, build.gpu) == ("tensorrt_rtx", trt.__version__, "")
    assert (build.compute_capability, build.executed) == ("8.9", "engine not executed")
    assert [p["candidate_features"] for p in build.profiles] == [
        [[1, 3, 5], [2, 3, 5], [4, 3, 5]],
        [[1, 6, 5], [2, 6, 5], [4, 6, 5]],
    ]
    assert set(build.profiles[0]) == {"history", "candidate_features"}
    assert count(build.layers, "FP32") == 2
    assert json.loads((tmp_path / "BUILD.json").read_text()) == build.to_json()
    assert EngineBuild.read(tmp_path) == build
    assert "Datatype: Float" in (tmp_path / "build.log").read_text()


def test_the_timing_cache_is_used_again(tmp_path: Path) -> None:
    graph, said = write_graph(tmp_path / "model.onnx"), list[str]()
    for _ in range(2):
        build_plan(LIBRARY, graph, tmp_path, PROFILE, "8.6", said.append)
    assert [line.rpartition(" ")[2] for line in said] == ["new", "used"]


@pytest.mark.parametrize("refused", [SimpleNamespace(), None], ids=["other version", "damaged"])
def test_a_timing_cache_that_does_not_fit(tmp_path: Path, refused: object) -> None:
    """As ``tensorrt`` answers it; ``tensorrt_rtx`` takes everything and does nothing with it."""
    (tmp_path / "timing.cache").write_bytes(b"old")
    fresh = SimpleNamespace()
    taken: list[object] = []
    config = SimpleNamespace(
        create_timing_cache=lambda content: refused if content else fresh,
        set_timing_cache=lambda cache, ignore_mismatch: taken.append(cache) or cache is fresh,
    )
    assert not build_module._read_timing_cache(config, tmp_path / "timing.cache")
    assert taken[-1] is fresh


def test_a_refused_operator(tmp_path: Path) -> None:
    graph = write_graph(tmp_path / "model.onnx", operator="Improved")
    with pytest.raises(
        BuildError, match=r"refuses model.onnx: node 'scaling' \(Improved\): .*not found"
    ):
        build_plan(LIBRARY, graph, tmp_path, PROFILE, "8.6", _silent)
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BuildError, match=r"refuses model.onnx: .*change the ranker"):
        build_plan(LIBRARY, graph, tmp_path, PROFILE, "8.6", _silent)
    assert not (tmp_path / "BUILD.json").exists()


def test_shapes_that_cannot_be_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = write_graph(tmp_path / "model.onnx", batch=2)
    with pytest.raises(BuildError, match=r"has the shape \(2, 4\), expected \(-1, 4\)"):
        build_plan(LIBRARY, graph, tmp_path, PROFILE, "8.6", _silent)
    graph = write_graph(tmp_path / "model.onnx")
    upside_down = EngineProfile(history=4, candidates=(3,), serving_batch=9, max_batch=4)
    with pytest.raises(BuildError, match="refuses the optimisation profile"):
        build_plan(LIBRARY, graph, tmp_path, upside_down, "8.6", _silent)
    monkeypatch.setattr(build_module, "_add_profiles", lambda *a: [])
    with pytest.raises(BuildError, match="cannot build an engine from model.onnx: .*profile"):
        build_plan(LIBRARY, graph, tmp_path, PROFILE, "8.6", _silent)


@pytest.mark.parametrize("shape", [(-1, -1, 16), (-1, 4, 16)])
def test_inputs_of_looked_up_rows(shape: tuple[int, ...]) -> None:
    small, usual, large = PROFILE.shapes("history_vector", shape, 6)
    assert (small, usual, large) == ((1, 4, 16), (2, 4, 16), (4, 4, 16))
    assert PROFILE.shapes("candidate_vector", (-1, -1, 16), 6)[0] == (1, 6, 16)


def test_inputs_whose_batch_alone_is_free(tmp_path: Path) -> None:
    pictures = EngineProfile(serving_batch=2, max_batch=4)
    assert len(pictures.counts) == 1
    expected = ((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))
    assert pictures.shapes("pixels", (-1, 3, 8, 8), 0) == expected
    pictures.write(tmp_path)
    assert EngineProfile.read(tmp_path) == pictures
    with pytest.raises(BuildError, match="nor is its batch the only free length"):
        pictures.shapes("history", (-1, -1), 0)
    with pytest.raises(BuildError, match=r"expected \(-1, 3, 8, 8\); export it with a free batch"):
        pictures.shapes("pixels", (2, 3, 8, 8), 0)


@pytest.mark.parametrize(
    ("name", "shape", "match"),
    [
        ("image", (-1, -1), "neither a history nor a candidate"),
        ("history", (-1,), "neither a history nor a candidate"),
        ("candidate_vector", (-1, -1, -1), "neither a history nor a candidate"),
        ("history", (-1, 5), r"expected \(-1, 4\)"),
    ],
)
def test_inputs_without_a_known_shape(name: str, shape: tuple[int, ...], match: str) -> None:
    with pytest.raises(BuildError, match=match):
        PROFILE.shapes(name, shape, 6)


def test_profiles_survive_a_file(tmp_path: Path) -> None:
    PROFILE.write(tmp_path)
    assert EngineProfile.read(tmp_path) == PROFILE
    for damage in ("{}", '{"history": 4}', "no json", '{"candidates": [1], "other": 1}'):
        (tmp_path / "profile.json").write_text(damage)
        with pytest.raises(BuildError, match="cannot be read"):
            EngineProfile.read(tmp_path)


def test_a_compute_capability_that_is_unknown() -> None:
    assert LIBRARY.capability("8.6") == "8.6"
    with pytest.raises(BuildError, match=r"7\.5, .*8\.6.*not for '1\.1'"):
        LIBRARY.capability("1.1")
    assert Library(trt, "tensorrt", A10).capability("8.9") == "8.6"


def _only(*names: str) -> Callable[[str], ModuleType | None]:
    return lambda name: ModuleType(name) if name in names else None


def test_the_first_library_that_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    both = _only("tensorrt", "tensorrt_rtx")
    monkeypatch.setattr(library_module, "_imported", both)
    assert find_library(A10).name == "tensorrt"
    assert find_library(None).name == "tensorrt_rtx"
    assert triton_library(A10).name == "tensorrt"
    monkeypatch.setattr(library_module, "_imported", _only("tensorrt_rtx"))
    assert find_library(A10).name == "tensorrt_rtx"
    with pytest.raises(ServerError, match="needs the Python package tensorrt"):
        triton_library(A10)
    with pytest.raises(ServerError, match="needs a GPU"):
        triton_library(None)
    monkeypatch.setattr(library_module, "_imported", _only("tensorrt"))
    with pytest.raises(MissingExtra, match=r"pip install -c constraints.txt -e '\.\[tensorrt\]'"):
        find_library(None)


def test_a_package_that_is_not_there() -> None:
    assert library_module._imported("no_such_package") is None


def test_no_driver_means_no_gpu() -> None:
    assert find_gpu("libno_such_driver.so") is None
    assert find_gpu("libc.so.6") is None


@pytest.mark.parametrize("failure", [0, 100])
def test_the_driver_names_its_gpu(monkeypatch: pytest.MonkeyPatch, failure: int) -> None:
    def attribute(target: Any, which: int, device: object) -> int:
        target._obj.value = {75: 8, 76: 9}[which]
        return 0

    def name(buffer: Any, size: int, device: object) -> int:
        buffer.value = b"NVIDIA L4"
        return 0

    driver = SimpleNamespace(
        cuInit=lambda flags: failure,
        cuDeviceGet=lambda device, number: 0,
        cuDeviceGetName=name,
        cuDeviceGetAttribute=attribute,
    )
    monkeypatch.setattr("serving.engine.device.ctypes.CDLL", lambda library: driver)
    assert find_gpu() == (None if failure else Gpu("NVIDIA L4", "8.9"))


def test_layers_of_both_libraries() -> None:
    lines = [
        "Name: a, LayerType: gemm, Inputs: [ { Name: x, Dimensions: [-1,8], Datatype: Int8, "
        "Format: (Linear) } ], Constants: [ { Datatype: Float } ], Outputs: [ { Datatype: Half } ]",
        "Name: b, LayerType: CaskGemm, Inputs: [ { Name: x, Location: Device, Dimensions: [1,3], "
        "Format/Datatype: Row major Int8 format }], Outputs: [ { Format/Datatype: Half } ]",
        "Name: c, LayerType: kgen, Inputs: [ { Name: Float, Datatype: Half } ], Outputs: []",
        "Name: d, LayerType: shape_call, Inputs: [], Constants: [ { Datatype: Int8 } ], "
        "Outputs: []",
        "[ONNX Layer: Datatype: Int8]",
    ]
    found = layers_of(lines)
    assert found == {"gemm": {"INT8": 1}, "CaskGemm": {"INT8": 1}, "kgen": {"FP16": 1}}
    assert count(found, "INT8") == 2


def test_int8_in_the_network_and_in_the_engine(tmp_path: Path) -> None:
    graph = _quantised(tmp_path / "model.onnx")
    build = build_plan(LIBRARY, graph, tmp_path, PROFILE, "8.6", _silent)
    assert build.quantise_nodes == {"DEQUANTIZE FLOAT": 2, "QUANTIZE INT8": 1}
    assert build.layers["gemm"]["INT8"] == len(PROFILE.candidates)


def _quantised(path: Path) -> Path:
    """One product of INT8 matrices, 64 by 64."""
    size = 64
    nodes = [
        helper.make_node("QuantizeLinear", ["candidate_vector", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["left"]),
        helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["right"]),
        helper.make_node("MatMul", ["left", "right"], ["logit"]),
    ]
    shape = ["batch", "c", size]
    constants = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.1]),
        helper.make_tensor("zero", TensorProto.INT8, [], [0]),
        helper.make_tensor("weight", TensorProto.INT8, [size, size], [1] * size * size),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("candidate_vector", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, shape)],
        constants,
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def test_progress_is_printed_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    clock = iter([0.0, 0.5, 3.0, 3.5])
    monkeypatch.setattr("serving.engine.builder_log.time.monotonic", lambda: next(clock))
    fake = SimpleNamespace(IProgressMonitor=object)
    monitor = progress_monitor(fake, said.append)
    monitor.phase_start("Timing tactics", "Building engine", 40)
    assert all(monitor.step_complete("Timing tactics", step) for step in range(3))
    monitor.phase_finish("Timing tactics")
    assert said == ["engine: timing tactics, step 2 of 40"]


def test_the_log_keeps_layers_and_errors() -> None:
    from serving.engine.builder_log import builder_log

    file = io.StringIO()
    logger = builder_log(trt, file)
    layer = "Name: a, LayerType: gemm, Inputs: [ { Datatype: Int8 } ], Outputs: []"
    logger.log(trt.ILogger.VERBOSE, f"Layers:\n{layer}\nand much more")
    logger.log(trt.ILogger.INFO, "hello")
    logger.log(trt.ILogger.ERROR, "broken\n")
    assert logger.layers == [layer]
    assert logger.errors == ["broken"]
    assert file.getvalue() == f"VERBOSE {layer}\nINFO hello\nERROR broken\n"
