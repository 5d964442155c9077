"""Rankers in the forms that compression leaves become engines; engines that run are compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import builders.export.engine_check as check_module
import builders.export.engine_run as run_module
import builders.export.tensorrt as tensorrt_module
from builders.compress.quantise_items import rounded
from builders.evaluation.retrieved import RetrievedCandidates
from builders.export.engine_check import can_execute, check_engine
from builders.export.gpu_forms import with_float_tables
from builders.export.item_lookup import export_lookup
from builders.export.tensorrt import build_engine, builder_here
from builders.export.torch2onnx import export
from builders.export.verify import open_session, repeated
from builders.ranker.compact import replace_module
from builders.ranker.interface import Ranker
from builders.ranker.registry import build_ranker
from builders.settings import Export
from ensembles.contracts import LOGIT
from ensembles.errors import MissingExtra, VerificationError
from serving.engine.build import build_plan
from serving.engine.device import Gpu
from serving.engine.library import Library
from serving.engine.profile import EngineProfile
from serving.engine.record import EngineBuild
from tests.unit.ranker.tiny_log import ITEMS, settings_of
from tests.unit.serving.engine_graph import HISTORY, PROFILE, write_graph

trt = pytest.importorskip("tensorrt_rtx", reason="extra tensorrt is not installed")
LIBRARY = Library(trt, "tensorrt_rtx", None)
ON_A10 = Library(trt, "tensorrt_rtx", Gpu("NVIDIA A10", "8.6"))
H = 6


def _ranker(**shape: object) -> Ranker:
    torch.manual_seed(0)
    return build_ranker(ITEMS, H, settings_of(ranker={"layers": 1, **shape}).ranker).eval()


def _int8_table() -> Ranker:
    ranker = _ranker()
    replace_module(ranker, "item", rounded(ranker.item.weight.detach()))
    return ranker


@pytest.mark.parametrize(
    ("ranker", "write"),
    [
        (lambda: _ranker(positions="learned", hybrid=False, normalise=False), export),
        (lambda: with_float_tables(_int8_table()), export),
        (_ranker, export_lookup),
    ],
    ids=["no head", "item table in INT8", "item table outside"],
)
def test_forms_of_rankers(
    tmp_path: Path, ranker: Callable[[], Ranker], write: Callable[..., Path]
) -> None:
    profile = EngineProfile(history=H, candidates=(9,), serving_batch=2, max_batch=4)
    graph = write(ranker(), H, tmp_path, Export())
    build = build_engine(LIBRARY, graph, tmp_path, profile, "8.6", lambda _: None)
    inputs = {tensor.name for tensor in open_session(graph).get_inputs()}
    assert set(build.profiles[0]) == inputs
    assert build.layers["gemm"]["FP32"] > 0
    assert EngineProfile.read(tmp_path) == profile


def test_a_table_written_out_has_the_same_numbers() -> None:
    ranker = _int8_table()
    plain = with_float_tables(ranker)
    assert type(plain.item) is torch.nn.Embedding
    assert torch.equal(plain.item_vectors(), ranker.item_vectors())
    assert type(ranker.item) is not torch.nn.Embedding, "the ranker that came in is unchanged"


class _StandIn:
    """Runs the graph instead of its engine, and is off by ``gap``."""

    gap = 0.0

    def __init__(self, library: Library, plan: Path) -> None:
        self.session = open_session(plan.with_name("model.onnx"))

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        (found,) = self.session.run([LOGIT.name], dict(feed))
        return np.asarray(found + np.float32(self.gap))

    def inspect(self, library: Library) -> list[str]:
        return ["Name: a, LayerType: gemm, Inputs: [ { Datatype: Half }], Outputs: []"]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    build_plan(LIBRARY, write_graph(tmp_path / "model.onnx"), tmp_path, PROFILE, "8.6", print)
    PROFILE.write(tmp_path)
    monkeypatch.setattr(check_module, "can_execute", lambda library, build: True)
    monkeypatch.setattr(run_module, "RunningEngine", _StandIn)
    return tmp_path


@pytest.fixture
def rows() -> RetrievedCandidates:
    rng = np.random.default_rng(0)
    history = rng.integers(1, ITEMS + 1, (3, HISTORY), dtype=np.int32)
    candidate = rng.integers(1, ITEMS + 1, (3, 3), dtype=np.int32)
    features = rng.random((3, 3, 5), dtype=np.float32)
    return RetrievedCandidates(history, candidate, features, candidate[:, 0])


def test_an_engine_that_ran(engine: Path, rows: RetrievedCandidates) -> None:
    build = check_engine(ON_A10, engine / "model.onnx", engine, repeated(rows), 1e-3)
    assert isinstance(build.executed, dict)
    zero = {"batch 1": 0.0, "batch 2": 0.0, "batch 4": 0.0}
    assert build.executed["differences"] == zero
    assert build.executed["milliseconds"].keys() == zero.keys()
    assert build.executed["tolerance"] == 1e-3
    assert build.layers == {"gemm": {"FP16": 1}}, "the inspector's"
    assert EngineBuild.read(engine) == build


@pytest.mark.parametrize("gap", [0.1, float("nan")])
def test_an_engine_that_differs(
    engine: Path, rows: RetrievedCandidates, gap: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_StandIn, "gap", gap)
    with pytest.raises(VerificationError, match=r"more than 0\.001: batch 1"):
        check_engine(ON_A10, engine / "model.onnx", engine, repeated(rows), 1e-3)
    assert EngineBuild.read(engine).executed == "engine not executed"


def test_what_would_build_engines_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(gpu: object) -> Library:
        raise MissingExtra("TensorRT", "tensorrt")

    monkeypatch.setattr(tensorrt_module, "find_gpu", lambda: None)
    assert builder_here() == f"tensorrt_rtx {trt.__version__}"
    monkeypatch.setattr(tensorrt_module, "find_library", missing)
    assert builder_here() == ""


def test_where_an_engine_can_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = write_graph(tmp_path / "model.onnx")
    build = build_plan(LIBRARY, graph, tmp_path, PROFILE, "8.6", lambda _: None)
    for cuda in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda answer=cuda: answer)
        assert can_execute(ON_A10, build) == cuda
        assert not can_execute(LIBRARY, build)
        assert not can_execute(Library(trt, "tensorrt_rtx", Gpu("NVIDIA L4", "8.9")), build)
