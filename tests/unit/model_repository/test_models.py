"""The ``model.py`` files, with a stand-in for the Python backend."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ensembles.record import Recording
from tests.triton.tiny import HISTORY, Tiny, make_release
from tests.unit.model_repository import fake_pb_utils
from tests.unit.model_repository.test_explore import write_plan


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_release(tmp_path_factory.mktemp("release"))


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    fake = fake_pb_utils.make(said)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", fake)
    return said


def load(version: Path, parameters: dict[str, str], **config: Any) -> Any:
    """Import as the backend does, as a module of a package, and initialise."""
    package = f"version_{version.parent.name}"
    holder = ModuleType(package)
    holder.__path__ = [str(version)]
    sys.modules[package] = holder
    spec = importlib.util.spec_from_file_location(f"{package}.model", version / "model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    config |= {
        "parameters": {name: {"string_value": value} for name, value in parameters.items()},
        "max_batch_size": 4,
    }
    folder = {"model_repository": str(version.parent), "model_version": version.name}
    model.initialize({"model_config": json.dumps(config), **folder})
    return model


def load_features(tiny: Tiny, state: str = "lmdb://../state") -> Any:
    limits = {
        "k_default": "3",
        "k_max": "9",
        "id_bytes": "20",
        "candidates": "9",
        "recent": "9",
        "visual_weight": "0.5",
        "visual_candidates": "4",
    }
    return load(tiny.repository / "features" / "1", limits | {"state": state})


def user(name: bytes) -> Any:
    return fake_pb_utils.request(user_id=np.array([[name]], object))


def test_features_answers_and_refuses(
    tiny: Tiny, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MILLIRANK_STATE", raising=False)
    model = load_features(tiny)
    good, bad, cold = model.execute([user(b"user-1"), user(b""), user(b"nobody")])
    assert good.arrays()["history"][0, -1] == tiny.users["user-1"][-1]
    assert good.arrays()["top_k"].tolist() == [[3]]
    assert (bad.error.code, bad.output_tensors) == ("INVALID_ARG", [])
    assert "empty string" in bad.error.message
    assert not cold.arrays()["history"].any()
    assert warnings == []
    model.finalize()
    counts = {"rows": 2, "candidates": 40, "cold_starts": 1, "invalid_requests": 1}
    for name, count in counts.items():
        assert fake_pb_utils.counted(f"millirank_{name}_total", release="1") == count
    assert fake_pb_utils.messages("millirank_unknown_items_total") == 0


def test_features_without_state_says_so(
    tiny: Tiny, warnings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLIRANK_STATE", f"lmdb://{tmp_path}/nowhere")
    model = load_features(tiny)
    assert f"{tmp_path}/nowhere" in warnings[0]
    (cold,) = model.execute([user(b"user-1")])
    assert not cold.arrays()["history"].any()
    model.finalize()


def test_features_alone_do_not_explore_and_say_so(
    tiny: Tiny, warnings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MILLIRANK_STATE", raising=False)
    plain = load_features(tiny)
    (before,) = plain.execute([user(b"user-1")])
    plain.finalize()
    tables = tiny.repository / "features" / "1" / "tables"
    write_plan(tables)
    model = load_features(tiny)
    (answer,) = model.execute([user(b"user-1")])
    for name in ("explore.npy", "explore.json"):
        (tables / name).unlink()
    assert warnings == ["steps that are not joined do not explore; this release would"]
    assert answer.arrays().keys() == before.arrays().keys()
    for name, tensor in before.arrays().items():
        np.testing.assert_array_equal(answer.arrays()[name], tensor)
    model.finalize()


def test_record_stores_and_refuses(
    tiny: Tiny, warnings: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLIRANK_STATE", f"lmdb://{tmp_path / 'file' / 'state'}")
    (tmp_path / "file").write_text("in the way")
    model = load(tiny.repository / "record" / "1", {"state": "", **Recording().parameters()})

    def request(event: bytes, event_id: bytes = b"") -> Any:
        sent = {"user_id": b"u", "item_id": b"item-1", "event": event, "event_id": event_id}
        return fake_pb_utils.request(**{n: np.array([[v]], object) for n, v in sent.items()})

    (unwritable,) = model.execute([request(b"click")])
    assert (unwritable.error.code, unwritable.output_tensors) == ("UNAVAILABLE", [])
    assert "cannot be written" in unwritable.error.message
    (tmp_path / "file").unlink()
    good, bad, again = model.execute(
        [request(b"click", b"a"), request(b"clck"), request(b"buy", b"a")]
    )
    assert good.arrays()["accepted"].tolist() == [[1]]
    assert again.arrays()["accepted"].tolist() == [[2]]
    assert again.arrays()["event_id"].tolist() == [[b"a"]]
    assert (bad.error.code, "did you mean 'click'" in bad.error.message) == ("INVALID_ARG", True)
    model.finalize()
    counts = {"stored": 1, "repeated": 1, "refused": 1, "rate_limited": 0, "unwritten": 1}
    for name, count in counts.items():
        assert fake_pb_utils.counted(f"millirank_events_{name}_total", release="1") == count


def test_ranker_scores_each_request(tiny: Tiny, warnings: list[str]) -> None:
    model = load(tiny.repository / "ranker" / "1", {"threads": "1"})

    def request(last: int, candidates: list[int]) -> Any:
        history = np.zeros((1, HISTORY), np.int32)
        history[0, -1] = last
        return fake_pb_utils.request(
            history=history,
            candidate=np.array([candidates], np.int32),
            candidate_features=np.zeros((1, len(candidates), 7), np.float32),
        )

    answers = model.execute([request(1, [2, 3]), request(4, [5]), request(1, [99999])])
    for answer, (last, candidates) in zip(answers, [(1, [2, 3]), (4, [5])], strict=False):
        expected = tiny.vectors[candidates] @ tiny.vectors[last]
        np.testing.assert_allclose(answer.arrays()["logit"], [expected], atol=1e-6)
    assert answers[2].error.code == "INVALID_ARG"


def test_policy_answers_each_request(tiny: Tiny, warnings: list[str]) -> None:
    model = load(tiny.repository / "policy" / "1", {})

    def request(candidate: int) -> Any:
        return fake_pb_utils.request(
            logit=np.array([[1.5]], np.float32),
            candidate=np.array([[candidate]], np.int32),
            candidate_flags=np.array([[1]], np.uint8),
            top_k=np.array([[10]], np.int32),
        )

    good, bad = model.execute([request(7), request(10_000)])
    assert good.arrays()["item_id"].tolist() == [[b"item-7"]]
    assert good.arrays()["score"].tolist() == [[1.5]]
    assert bad.error.code == "INVALID_ARG"


@pytest.mark.parametrize("step", ["features", "ranker", "policy", "record"])
def test_model_is_short_and_imports_nothing_of_ours(tiny: Tiny, step: str) -> None:
    version = tiny.repository / step / "1"
    assert len((version / "model.py").read_text().splitlines()) <= 50
    for file in version.rglob("*.py"):
        for name in ("ensembles", "builders", "serving", "loadtest", "torch"):
            assert f"import {name}" not in file.read_text()
            assert f"from {name}" not in file.read_text()
