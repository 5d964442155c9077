"""``model.py`` of the preprocess step, with a stand-in for the Python backend."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.damaged_images import drawn, encode
from tests.triton.tiny import SOURCE
from tests.unit.model_repository import fake_pb_utils
from tests.unit.model_repository.preprocess_step import LIMITS, MEAN, SIZE, STD, STEP, encoded


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imported as the backend does, as a module of a package, and initialised."""
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", fake_pb_utils.make([]))
    version = tmp_path / "preprocess" / "1"
    shutil.copytree(SOURCE / "preprocess" / "1", version)
    STEP.write_pipelines(version / "pipeline", SIZE, MEAN, STD)
    holder = ModuleType("version_preprocess")
    holder.__path__ = [str(version)]
    monkeypatch.setitem(sys.modules, "version_preprocess", holder)
    made = importlib.import_module("version_preprocess.model").TritonPythonModel()
    limits = {name: {"string_value": str(value)} for name, value in vars(LIMITS).items()}
    made.initialize(
        {
            "model_config": json.dumps({"parameters": limits}),
            "model_repository": str(version.parent),
            "model_version": version.name,
            "model_instance_kind": "CPU",
            "model_instance_device_id": "0",
        }
    )
    yield made
    made.finalize()
    for name in [n for n in sys.modules if n.startswith("version_preprocess")]:
        del sys.modules[name]


def test_it_answers_and_refuses(model: Any, tmp_path: Path) -> None:
    (file,) = encoded(encode(drawn(1), "JPEG"))
    broken = file[: len(file) // 2]
    requests = [
        fake_pb_utils.request(image=file[None]),
        fake_pb_utils.request(image=broken[None]),
        fake_pb_utils.request(user_id=np.array([[b"user-1"]], object)),
        fake_pb_utils.request(image=np.stack([file, file])),
    ]
    good, bad, empty, two = model.execute(requests)
    folder = tmp_path / "preprocess" / "1" / "pipeline"
    (expected,) = STEP.Preprocessor.open(folder, LIMITS).pixels([file])
    np.testing.assert_array_equal(good.arrays()["pixels"], expected[None])
    np.testing.assert_array_equal(two.arrays()["pixels"], np.stack([expected, expected]))
    for answer, said in ((bad, "image: expected a whole JPEG"), (empty, "image: expected one")):
        assert (answer.error.code, answer.output_tensors) == ("INVALID_ARG", [])
        assert answer.error.message.startswith(said)
    model.measures.close()
    assert fake_pb_utils.counted("millirank_bad_images_total", release="1") == 2


def test_a_gpu_is_asked_for_by_number(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["version_preprocess.model"]
    asked = []

    class Service:
        @staticmethod
        def open(*given: Any) -> None:
            asked.append(given[2])

    monkeypatch.setattr(module, "PreprocessService", Service)
    arguments = {"model_config": '{"parameters": {}}', "model_repository": "", "model_version": "1"}
    for kind in ("GPU", "CPU"):
        instance = {"model_instance_kind": kind, "model_instance_device_id": "1"}
        made = module.TritonPythonModel()
        made.initialize(arguments | instance)
        made.measures.close()
    assert asked == [1, None]


def test_model_is_short_and_imports_nothing_of_ours() -> None:
    version = SOURCE / "preprocess" / "1"
    assert len((version / "model.py").read_text().splitlines()) <= 50
    for file in version.rglob("*.py"):
        for name in ("ensembles", "builders", "serving", "loadtest", "torch"):
            assert f"import {name}" not in file.read_text()
            assert f"from {name}" not in file.read_text()
