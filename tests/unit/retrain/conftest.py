from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.triton.tiny import ITEMS, make_ranker, make_release
from tests.unit.retrain.bench import Bench, Made
from tests.unit.retrain.tiny_log import dataset_of, obeyed


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    tiny = make_release(folder / "good")
    dataset_of(tiny, folder / "log")
    bad = make_release(folder / "bad").repository
    vectors = np.random.default_rng(99).normal(size=(ITEMS + 1, 3)).astype(np.float32)
    make_ranker(bad / "ranker" / "1" / "model.onnx", vectors)
    return Made(folder / "log", tiny.repository, bad, obeyed(tiny, users=12, events=5))


@pytest.fixture
def bench(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(made, tmp_path, monkeypatch)
