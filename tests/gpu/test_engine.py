"""Engines that run: compared with ONNX Runtime and timed. Skipped where there is no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from builders.evaluation.retrieved import RetrievedCandidates
from builders.export.engine_check import check_engine
from builders.export.tensorrt import build_engine
from builders.export.torch2onnx import export
from builders.export.verify import repeated
from builders.ranker.registry import build_ranker
from builders.settings import Export
from ensembles.errors import MissingExtra, VerificationError
from serving.engine.device import find_gpu
from serving.engine.layers import count
from serving.engine.library import Library, find_library
from serving.engine.profile import EngineProfile
from serving.engine.record import EngineBuild
from tests.unit.export.random_rows import random_rows
from tests.unit.ranker.tiny_log import ITEMS, settings_of

H, C = 8, 10
PROFILE = EngineProfile(history=H, candidates=(C, 20), serving_batch=4, max_batch=16)


@pytest.fixture(scope="module")
def library() -> Library:
    gpu = find_gpu()
    if gpu is None or not torch.cuda.is_available():
        pytest.skip("no GPU, or PyTorch is without CUDA")
    try:
        found = find_library(gpu)
    except MissingExtra as e:
        pytest.skip(str(e))
    return found


@pytest.fixture(scope="module")
def rows() -> RetrievedCandidates:
    return random_rows(ITEMS, H, C, rows=30)


@pytest.fixture(scope="module", params=["transformer", "lstm"])
def engine(
    request: pytest.FixtureRequest, library: Library, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    torch.manual_seed(0)
    ranker = build_ranker(ITEMS, H, settings_of(ranker={"kind": request.param}).ranker).eval()
    folder = tmp_path_factory.mktemp("engine")
    graph = export(ranker, H, folder, Export())
    assert library.gpu is not None
    build_engine(library, graph, folder, PROFILE, library.gpu.capability, lambda _: None)
    return folder


def test_scores_are_those_of_onnx_runtime(
    library: Library, engine: Path, rows: RetrievedCandidates
) -> None:
    build = check_engine(library, engine / "model.onnx", engine, repeated(rows), 1e-3)
    assert isinstance(build.executed, dict)
    assert set(build.executed["differences"]) == {"batch 1", "batch 4", "batch 16"}
    assert max(build.executed["differences"].values()) <= 1e-3
    assert all(spent > 0 for spent in build.executed["milliseconds"].values())
    assert count(build.layers, "FP32") > 0
    assert EngineBuild.read(engine) == build


def test_a_difference_is_an_error(
    library: Library, engine: Path, rows: RetrievedCandidates
) -> None:
    with pytest.raises(VerificationError, match="differs from ONNX Runtime by more than -1"):
        check_engine(library, engine / "model.onnx", engine, repeated(rows), -1)
