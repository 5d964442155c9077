"""A small teacher that has learned the circle, with everything that passes and gates read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from builders.compress import sensitivity
from builders.compress.interface import CompressionData, Model
from builders.export.item_lookup import export_ranker
from builders.ranker.interface import Ranker
from builders.ranker.train_ranker import train_ranker
from builders.retrieval.tables import write_tables
from builders.settings import Export
from tests.unit.ranker.tiny_log import circle, settings_of


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompressionData]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("teacher")
    dataset = circle()
    settings = settings_of(
        ranker={"width": 32, "layers": 3, "heads": 4},
        train={"epochs": 8},
        compress={"batch": 4, "rounds": 10, "calibration_users": 16},
    )
    (folder / "tables").mkdir()
    write_tables(dataset, settings, dataset.train_mask(), folder / "tables")
    teacher = train_ranker(dataset, settings, folder / "tables", folder / "train", _silent).saved
    yield CompressionData(dataset, settings, folder / "tables", teacher, folder, _silent)
    torch.set_num_threads(threads)


@pytest.fixture
def data(trained: CompressionData, tmp_path: Path) -> CompressionData:
    """With a working folder of its own."""
    return replace(trained, work=tmp_path)


@pytest.fixture
def teacher(data: CompressionData) -> Model:
    return Model(data.teacher)


@pytest.fixture(scope="session")
def teacher_graph(trained: CompressionData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher's float graph, exported once; not to be changed."""
    folder = tmp_path_factory.mktemp("teacher_graph")
    return export_ranker(
        trained.teacher.ranker, trained.teacher.history, folder, trained.settings.export
    )


@pytest.fixture
def exported_once(
    trained: CompressionData, teacher_graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes over the graph take the teacher's as it was exported before."""

    def once(ranker: Ranker, history: int, folder: Path, settings: Export) -> Path:
        if ranker is not trained.teacher.ranker:
            return export_ranker(ranker, history, folder, settings)
        return Path(shutil.copy(teacher_graph, folder))

    monkeypatch.setattr(sensitivity, "export_ranker", once)


def _silent(line: str) -> None:
    del line
