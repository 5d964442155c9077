"""The encoder, built from pictures to served graph with a small network."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import builders.visual.fitted as fitted_module
from builders.export.verify import open_session
from builders.settings import Settings
from builders.visual.backbone import load_backbone
from builders.visual.encoder import EncoderBuild, build_encoder
from builders.visual.encoder_graph import Encoder, verify_encoder
from builders.visual.fitted import Fitted, compress, fit
from builders.visual.pixels import open_preprocess
from builders.visual.sample import Sample
from ensembles.errors import BuildError, VerificationError
from ensembles.step_code import load_step
from tests.triton.tiny import SOURCE
from tests.unit.visual.small_encoder import (
    SIZE,
    WIDTH,
    settings_of,
    write_pictures,
    write_weights,
)

COUNT = 40
BROKEN, TWIN, NONE = COUNT + 1, COUNT + 2, COUNT + 3
"""Item numbers after those with pictures of their own; TWIN has the picture of item 1."""


@dataclass(frozen=True)
class Built:
    """A build, with the float graph before its projection."""

    folder: Path
    files: list[Path | None]
    settings: Settings
    found: EncoderBuild
    bare: Path
    said: list[str]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    root = tmp_path_factory.mktemp("encoder")
    for name in ("work", "pictures", "out"):
        (root / name).mkdir()
    made = write_pictures(root / "pictures", COUNT)
    (root / "pictures" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    files = [None, *made, root / "pictures" / "broken.jpg", made[0], None]
    settings, said = settings_of(write_weights(root / "weights.pth")), list[str]()
    bare, export = root / "bare.onnx", fitted_module.export_encoder

    def kept(encoder: Encoder, size: int, target: Path, *rest: object) -> None:
        export(encoder, size, target, *rest)  # type: ignore[arg-type]
        shutil.copy2(target, bare)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitted_module, "export_encoder", kept)
        found = build_encoder(files, settings, root / "out", root / "work", said.append)
    assert not list((root / "work").glob("*.onnx"))
    return Built(root / "out", files, settings, found, bare, said)


@pytest.fixture
def exported(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph is the one that was exported before."""
    monkeypatch.setattr(
        fitted_module, "export_encoder", lambda e, s, target, *_: shutil.copy2(built.bare, target)
    )


def _fitted(built: Built, settings: Settings, work: Path, files: list[Path | None]) -> Fitted:
    module = Encoder(load_backbone(settings.visual), WIDTH)
    catalogue = Sample(open_preprocess(built.folder / "preprocess"), files, print)
    return fit(module, catalogue, settings, work, print)


def test_vectors_have_length_1_or_there_is_no_picture(built: Built) -> None:
    vectors = built.found.vectors
    assert vectors.shape == (NONE + 1, WIDTH)
    assert vectors.dtype == np.float32
    lengths = np.linalg.norm(vectors, axis=1)
    assert np.flatnonzero(lengths == 0).tolist() == [0, BROKEN, NONE]
    np.testing.assert_allclose(lengths[lengths > 0], 1, atol=1e-6)
    np.testing.assert_allclose(vectors[1], vectors[TWIN], atol=1e-6)


def test_vectors_are_the_served_steps(built: Built) -> None:
    """What Triton loads, over pixels of the served pipeline, gives what is stored."""
    step = load_step(SOURCE / "image_encoder" / "1")
    encoder = step.Encoder(built.folder / "encoder", 1)
    preprocess = open_preprocess(built.folder / "preprocess")
    assert preprocess.size == encoder.size == SIZE
    for item in (1, 7, COUNT):
        file = built.files[item]
        assert file is not None
        (pixels,) = preprocess.pixels([np.fromfile(file, np.uint8)])
        assert not isinstance(pixels, Exception)
        (vector,) = encoder.encode([pixels[None]])
        np.testing.assert_allclose(vector[0], built.found.vectors[item], atol=0.02)
    preprocess.close()


def test_files_and_figures(built: Built) -> None:
    encoder = built.folder / "encoder"
    about = json.loads((encoder / "encoder.json").read_text())
    assert (about["size"], about["width"], about["backbone"]) == (SIZE, WIDTH, "test_resnet")
    assert {p.name for p in encoder.iterdir()} == {"model.onnx", "encoder.json", "gpu"}
    assert {"model.onnx", "profile.json"} <= {p.name for p in (encoder / "gpu").iterdir()}
    figures = json.loads(json.dumps(built.found.to_json()))
    assert (figures["pictures"], figures["unreadable"]) == (COUNT + 1, 1)
    assert 0.5 < figures["variance_kept"] <= 1
    assert figures["single"]["before_ms"] > 0
    assert set(figures["gpu"]["graphs"]) == {"float32", "fp16", "int8_qdq"}
    assert figures["served"] == ("float32" if figures["int8"]["reason"] else "int8")
    assert "41 pictures as vectors of 12 by test_resnet" in built.found.summary()
    assert ("left out" if figures["int8"]["reason"] else "kept") in built.found.summary()
    assert sum("1 of 42 pictures cannot be read" in line for line in built.said) == 1
    model = onnx.load(encoder / "model.onnx")
    assert [o.name for o in model.graph.output] == ["visual_vector"]
    source = Path(__file__).parents[3]
    assert str(source).encode() not in (encoder / "gpu" / "model.onnx").read_bytes()


def test_int8_is_held_against_both_gates(built: Built, exported: None, tmp_path: Path) -> None:
    fitted = _fitted(built, built.settings, tmp_path, built.files)
    assert fitted.int8
    target = tmp_path / "served.onnx"
    weights = Path(built.settings.visual.weights)
    reasons = []
    for gates in ({"max_quality_loss": 0.0}, {"max_quality_loss": 0.9, "min_gain": 0.999}):
        found = compress(fitted, settings_of(weights, gates), target)
        assert found.int8 is not None
        reasons.append(found.int8.reason)
        assert target.read_bytes() == fitted.graph.read_bytes()
    assert reasons[0].startswith("NDCG@10 falls by")
    assert "of the uncompressed encoder's" in reasons[0]
    assert reasons[1].startswith("at batch 1 it takes")
    generous = settings_of(weights, {"max_quality_loss": 0.9})
    never_slower = generous.compress.model_copy(update={"min_gain": -99.0})
    found = compress(fitted, generous.model_copy(update={"compress": never_slower}), target)
    assert found.int8 is not None
    assert found.int8.reason == ""
    assert {"QuantizeLinear"} <= {n.op_type for n in onnx.load(target).graph.node}


@pytest.mark.parametrize("why", ["switched off", "too few pictures"])
def test_int8_is_not_tried(why: str, built: Built, exported: None, tmp_path: Path) -> None:
    off = why == "switched off"
    settings = settings_of(Path(built.settings.visual.weights), quantise=not off)
    files = built.files if off else built.files[:3]
    fitted = _fitted(built, settings, tmp_path, files)
    found = compress(fitted, settings, tmp_path / "served.onnx")
    assert found.int8 is None
    assert found.single.before_ms > 0
    assert (tmp_path / "served.onnx").read_bytes() == fitted.graph.read_bytes()
    line = replace(built.found, compressed=found).summary()
    assert line.endswith("ms a picture")
    assert replace(built.found, compressed=found).to_json()["served"] == "float32"


def test_no_picture_that_can_be_read(built: Built, exported: None, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="none of 1 can be read"):
        _fitted(built, built.settings, tmp_path, [None, built.files[BROKEN]])


def test_a_graph_that_differs_from_pytorch(built: Built, exported: None, tmp_path: Path) -> None:
    fitted = _fitted(built, built.settings, tmp_path, built.files)
    module = Encoder(load_backbone(built.settings.visual), WIDTH)
    torch.nn.init.normal_(module.axes)
    pixels = next(iter(fitted.gate.pixels()))
    with pytest.raises(VerificationError, match=r"float\.onnx differs from PyTorch .*batch 16"):
        verify_encoder(module.eval(), fitted.graph, pixels, built.settings.export)


def test_only_the_backbone_is_quantised(built: Built, exported: None, tmp_path: Path) -> None:
    from builders.visual.quantise import quantise_encoder

    fitted = _fitted(built, built.settings, tmp_path, built.files)
    for symmetric in (False, True):
        target = tmp_path / f"{symmetric}.onnx"
        quantise_encoder(fitted.graph, target, fitted.calibration(), symmetric=symmetric)
        model = onnx.load(target)
        constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
        nodes = list(model.graph.node)
        kinds = {n.op_type for n in nodes}
        assert {"QuantizeLinear", "DequantizeLinear", "Conv", "MatMul"} <= kinds
        (product,) = [n for n in nodes if n.op_type == "MatMul"]
        assert constants[product.input[1]].dtype == np.float32
        read = [constants[n.input[2]] for n in nodes if n.op_type == "DequantizeLinear"]
        stored = {str(zero.dtype) for zero in read}
        if symmetric:  # TensorRT's form
            assert stored == {"int8"}
            assert not any(zero.any() for zero in read)
        else:
            assert "uint8" in stored
        assert open_session(target).get_inputs()[0].name == "pixels"
