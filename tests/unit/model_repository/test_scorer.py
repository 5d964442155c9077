"""The ranker step without a server."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ensembles.step_code import load_step
from tests.triton.tiny import HISTORY, ITEMS, SOURCE, make_ranker


@pytest.fixture(scope="module")
def ranker() -> ModuleType:
    return load_step(SOURCE / "ranker" / "1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("ranker") / "model.onnx"
    make_ranker(file, np.random.default_rng(0).normal(size=(ITEMS + 1, 3)).astype(np.float32))
    return file


def request(rows: int, width: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "history": rng.integers(0, ITEMS, (rows, HISTORY)).astype(np.int32),
        "candidate": rng.integers(0, ITEMS, (rows, width)).astype(np.int32),
        "candidate_features": rng.random((rows, width, 7)).astype(np.float32),
    }


def test_stacking_changes_nothing(ranker: ModuleType, model: Path) -> None:
    scorer = ranker.Scorer(model, 1)
    requests = [request(2, 5, 0), request(1, 7, 1), request(3, 5, 2), request(1, 7, 3)]
    together = scorer.score(requests)
    for got, one in zip(together, requests, strict=True):
        (alone,) = scorer.score([one])
        assert got.shape == one["candidate"].shape
        np.testing.assert_allclose(got, alone, atol=1e-6)


def test_vectors_that_the_graph_does_not_take_are_left_alone(
    ranker: ModuleType, model: Path
) -> None:
    scorer, bare = ranker.Scorer(model, 1), request(2, 5, 0)
    vectors = {
        f"{name}_vector": np.ones((2, 5, 1), np.float32) for name in ("history", "candidate")
    }
    np.testing.assert_array_equal(scorer.score([bare | vectors])[0], scorer.score([bare])[0])


def test_looked_up_rows_score_as_the_table_in_the_graph(ranker: ModuleType, tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(ITEMS + 1, 3)).astype(np.float32)
    for lookup in (False, True):
        make_ranker(tmp_path / f"{lookup}.onnx", table, lookup=lookup)
    bare = [request(2, 5, 0), request(1, 7, 1), request(1, 5, 2)]
    rows = [
        r | {f"{name}_vector": table[r[name]] for name in ("history", "candidate")} for r in bare
    ]
    looked_up = ranker.Scorer(tmp_path / "True.onnx", 1)
    expected = ranker.Scorer(tmp_path / "False.onnx", 1).score(bare)
    for got, want in zip(looked_up.score(rows), expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-6)
    with pytest.raises(ValueError, match=r"expected \['candidate_vector', 'history_vector'\]"):
        looked_up.score(bare)
    padding = {name: np.zeros_like(array) for name, array in bare[0].items()}
    assert looked_up.score([padding])[0].shape == (2, 5)


def test_damaged_model(ranker: ModuleType, tmp_path: Path) -> None:
    for content in (None, b"", b"x"):
        file = tmp_path / "model.onnx"
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be loaded"):
            ranker.Scorer(file, 1)


def test_model_of_something_else(ranker: ModuleType, tmp_path: Path) -> None:
    from onnx import TensorProto, helper, save

    node = helper.make_node("Neg", ["x"], ["y"])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    graph = helper.make_graph([node], "other", [x], [y])
    opset = [helper.make_opsetid("", 18)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=r"expected inputs among .* found \['x'\]"):
        ranker.Scorer(tmp_path / "model.onnx", 1)
