"""A release with a catalogue of any size, random weights, and a log that is made here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from builders.dataset.dataset import Dataset
from builders.export.item_lookup import export_ranker
from builders.publish.offline import OfflinePipeline, torch_scorer
from builders.publish.release import assemble
from builders.publish.step_files import RankerFiles
from builders.publish.user_state import seed_state
from builders.ranker.registry import build_ranker
from builders.ranker.weights import SavedRanker, save_ranker
from builders.retrieval.tables import write_tables
from builders.settings import Settings
from tests.unit.ranker.tiny_log import dataset_of

USERS, EVENTS = 500, 40
WIDTH = 64


@dataclass(frozen=True)
class Catalogue:
    """A repository with release 1, and what its answers are compared with."""

    repository: Path
    state: Path
    dataset: Dataset
    offline: OfflinePipeline


def settings_of(max_item_table_mb: float) -> Settings:
    """A transformer of width 64, 200 candidates, two instances of each step."""
    return Settings.parse(
        {
            "name": "catalogue",
            "data": {"format": "csv"},
            "features": {"history": 50},
            "retrieval": {"candidates": 200, "factors": 16, "iterations": 1, "neighbours": 20},
            "ranker": {"width": WIDTH, "layers": 2, "heads": 2},
            "train": {"threads": 1},
            "export": {"max_item_table_mb": max_item_table_mb},
        },
        origin="catalogue",
    )


def make_log(items: int) -> Dataset:
    """Users whose events are spread over the catalogue, popular items more often."""
    rng = np.random.default_rng(5)
    drawn = (items * rng.random((USERS, EVENTS)) ** 3).astype(np.int64) + 1
    return dataset_of(drawn.tolist(), items)


def make_catalogue(root: Path, items: int, max_item_table_mb: float = 256.0) -> Catalogue:
    """Build everything that a release of ``items`` items holds, below ``root``."""
    settings, dataset = settings_of(max_item_table_mb), make_log(items)
    compressed, gpu, tables = (root / name for name in ("compressed", "gpu", "tables"))
    for folder in (compressed, gpu):
        folder.mkdir(parents=True)
    write_tables(dataset, settings, dataset.train_mask(), tables)
    torch.manual_seed(0)
    ranker = build_ranker(items, settings.features.history, settings.ranker).eval()
    if ranker.head is not None:
        torch.nn.init.normal_(ranker.head.out.weight)
    history = settings.features.history
    save_ranker(SavedRanker(ranker, dataset.item_ids, history, settings.ranker), compressed)
    export_ranker(ranker, history, compressed, settings.export)
    repository, state = root / "repository", root / "state"
    assemble(repository, settings, dataset, tables, RankerFiles(compressed, gpu, compressed))
    seed_state(state, repository, dataset, hold_out_test=True)
    offline = OfflinePipeline(repository, torch_scorer(ranker), dataset)
    return Catalogue(repository, state, dataset, offline)
