"""The encoder that a release serves, EfficientNet-Lite0, in every form of the gpu profile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import builders.export.gpu_graphs as graphs_module
from builders.settings import Settings
from builders.visual.backbone import load_backbone
from builders.visual.encoder_graph import Encoder, export_encoder, project_graph, run_graph
from builders.visual.fitted import Fitted
from builders.visual.gate import Gate
from builders.visual.gpu_encoder import gpu_encoder
from builders.visual.projection import principal_components
from ensembles.errors import MissingExtra
from serving.engine.layers import count
from serving.engine.profile import EngineProfile
from serving.engine.record import EngineBuild, describe

SETTINGS = Settings.parse({"name": "real", "data": {"format": "csv"}}, origin="real")
SIZE = SETTINGS.visual.size


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    folder = tmp_path_factory.mktemp("real")
    bare, graph = folder / "bare.onnx", folder / "float.onnx"
    export_encoder(
        Encoder(load_backbone(SETTINGS.visual), SETTINGS.visual.width), SIZE, bare, SETTINGS.export
    )
    pixels = np.random.default_rng(0).normal(size=(6, 3, SIZE, SIZE)).astype(np.float32)
    features = run_graph(bare, [pixels], "features")
    assert features.shape == (6, 1280)
    projection = principal_components(features, SETTINGS.visual.width)
    project_graph(bare, projection, graph)
    gate = Gate(lambda: [pixels], run_graph(graph, [pixels]), seed=0)
    return Fitted(graph, projection.kept, {}, lambda: [pixels[:2]], gate, int8=True)


def test_engines_of_every_form(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="extra tensorrt is not installed")
    monkeypatch.setattr(graphs_module, "find_gpu", lambda: None)
    folder = tmp_path / "gpu"
    folder.mkdir()
    found = gpu_encoder(fitted, SETTINGS, folder, tmp_path, lambda _: None)
    assert found.chosen == "fp16", "it holds the gate, and nothing was executed"
    engines = {g.name: g.engine for g in found.graphs}
    for name, precision in (("float32", "FP32"), ("fp16", "FP16"), ("int8_qdq", "INT8")):
        engine = engines[name]
        assert isinstance(engine, EngineBuild)
        assert count({"correlation": engine.layers["correlation"]}, precision) >= 48
        small, usual, large = engine.profiles[0]["pixels"]
        assert (small[0], usual[0], large[0]) == (1, 16, 128)
        assert small[1:] == [3, SIZE, SIZE]
    published = EngineBuild.read(folder)
    assert published.onnx == describe(folder / "model.onnx")
    assert published.plan == describe(folder / "model.plan")
    assert EngineProfile.read(folder).max_batch == SETTINGS.serving.max_batch


def test_without_tensorrt_there_is_a_graph(
    fitted: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(gpu: object) -> object:
        raise MissingExtra("TensorRT", "tensorrt")

    monkeypatch.setattr(graphs_module, "find_library", missing)
    folder = tmp_path / "gpu"
    folder.mkdir()
    found = gpu_encoder(replace(fitted, int8=False), SETTINGS, folder, tmp_path, lambda _: None)
    assert [g.name for g in found.graphs] == ["float32", "fp16"]
    assert {p.name for p in folder.iterdir()} == {"model.onnx", "profile.json"}
