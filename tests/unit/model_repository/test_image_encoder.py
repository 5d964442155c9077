"""The image encoder step, bare and through ``model.py``, without a server."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ensembles.step_code import load_step
from tests.triton import tiny_visual
from tests.triton.tiny import SOURCE
from tests.unit.model_repository import fake_pb_utils
from tests.unit.model_repository.test_models import load

SIZE, WIDTH = tiny_visual.SIZE, 3 * tiny_visual.SQUARES**2


@pytest.fixture(scope="module")
def step() -> ModuleType:
    return load_step(SOURCE / "image_encoder" / "1")


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version folder: means of four squares, of length 1."""
    folder = tmp_path / "image_encoder" / "1"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SOURCE / "image_encoder" / "1", folder, ignore=ignored)
    tiny_visual.make_encoder(folder / "model.onnx")
    describe(folder)
    return folder


def describe(folder: Path, **other: object) -> None:
    about = {"size": SIZE, "width": WIDTH, **other}
    (folder / "encoder.json").write_text(json.dumps(about))


def pixels_of(squares: Any) -> Any:
    side = SIZE // tiny_visual.SQUARES
    wide = squares.repeat(side, axis=1).repeat(side, axis=2).transpose(0, 3, 1, 2)
    mean, std = tiny_visual.MEAN[0], tiny_visual.STD[0]
    return ((wide.astype(np.float32) - mean) / std).astype(np.float32)


def test_stacking_changes_nothing(step: ModuleType, version: Path) -> None:
    encoder = step.Encoder(version, 1)
    squares = tiny_visual.colours(7)
    pixels, expected = pixels_of(squares), tiny_visual.vectors(squares)
    assert (encoder.size, encoder.width) == (SIZE, WIDTH)
    answers = encoder.encode([pixels[:1], pixels[1:4], pixels[4:]])
    assert [a.shape for a in answers] == [(1, WIDTH), (3, WIDTH), (3, WIDTH)]
    np.testing.assert_allclose(np.concatenate(answers), expected, atol=1e-5)


def test_pixels_of_another_size(step: ModuleType, version: Path) -> None:
    encoder = step.Encoder(version, 1)
    with pytest.raises(ValueError, match=r"expected the shape \[rows, 3, 32, 32\], got \[1, 3, 8"):
        encoder.encode([np.zeros((1, 3, 8, 8), np.float32)])


@pytest.mark.parametrize("name", ["model.onnx", "encoder.json"])
@pytest.mark.parametrize("content", [None, b"", b"[1]", b'{"size": "large"}'])
def test_damaged_files(step: ModuleType, version: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (version / name).unlink()
    else:
        (version / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} cannot be .*build the release again"):
        step.Encoder(version, 1)


@pytest.mark.parametrize("other", [{"size": 16}, {"width": 3}])
def test_a_graph_of_another_encoder(step: ModuleType, version: Path, other: dict[str, int]) -> None:
    describe(version, **other)
    with pytest.raises(ValueError, match=r"expected \[\('pixels'.*by encoder.json, found"):
        step.Encoder(version, 1)


def test_the_model_answers_each_request(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = fake_pb_utils.make([])
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", fake)
    model = load(version, {"threads": "1"})
    squares = tiny_visual.colours(3)
    pixels, expected = pixels_of(squares), tiny_visual.vectors(squares)
    first, bad, second = model.execute(
        [
            fake_pb_utils.request(pixels=pixels[:2]),
            fake_pb_utils.request(pixels=np.zeros((1, 3, 4, 4), np.float32)),
            fake_pb_utils.request(pixels=pixels[2:]),
        ]
    )
    np.testing.assert_allclose(first.arrays()["visual_vector"], expected[:2], atol=1e-5)
    np.testing.assert_allclose(second.arrays()["visual_vector"], expected[2:], atol=1e-5)
    assert (bad.error.code, bad.output_tensors) == ("INVALID_ARG", [])
    assert "got [1, 3, 4, 4]" in bad.error.message


def test_the_step_is_closed(version: Path) -> None:
    assert len((version / "model.py").read_text().splitlines()) <= 50
    for file in version.rglob("*.py"):
        for name in ("ensembles", "builders", "serving", "loadtest", "torch"):
            assert f"import {name}" not in file.read_text()
            assert f"from {name}" not in file.read_text()
