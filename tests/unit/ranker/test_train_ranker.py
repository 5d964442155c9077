"""From settings to a finished ranker, as the build calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from builders.dataset.dataset import Dataset
from builders.evaluation.metrics import Metrics
from builders.evaluation.ranking import full_ranks
from builders.ranker.scoring import HybridScorer, SequenceScorer, candidate_scores, head_scores
from builders.ranker.train_ranker import train_lstm, train_ranker
from builders.ranker.weights import load_ranker, save_ranker
from builders.retrieval.feature_step import open_feature_step
from builders.retrieval.tables import write_tables
from tests.unit.ranker.tiny_log import circle, settings_of

AUGMENT = {"crop": 0.1, "mask": 0.1, "reorder": 0.1, "substitute": 0.1}
OWN = "tests.unit.ranker.own_ranker:Plain"


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    dataset = circle()
    write_tables(dataset, settings_of(), dataset.train_mask(), folder)
    return folder


@pytest.mark.parametrize(
    ("sections", "floor"),
    [
        ({"augment": AUGMENT}, 0.7),
        ({"ranker": {"hybrid": False}}, 0.7),
        ({"ranker": {"kind": OWN}, "train": {"temperature": 1.0}}, 0.5),
    ],
    ids=["augmented", "no head", "a module of one's own"],
)
def test_a_finished_ranker(
    tmp_path: Path, tables: Path, sections: dict[str, dict[str, object]], floor: float
) -> None:
    dataset, settings = circle(), settings_of(**sections)
    lines: list[str] = []
    trained = train_ranker(dataset, settings, tables, tmp_path / "work", lines.append)
    assert trained.sequence.ndcg10 > floor
    assert trained.sequence.epochs == len([line for line in lines if line.startswith("epoch")])
    assert (trained.head is None) == (trained.ranker.head is None)
    assert not trained.ranker.training
    save_ranker(trained.saved, tmp_path)
    scorer = HybridScorer(load_ranker(tmp_path).ranker, dataset, 8, open_feature_step(tables))
    assert Metrics.of(full_ranks(scorer, dataset, "test")).ndcg10 > floor


def test_lstm_baseline(tmp_path: Path, tables: Path) -> None:
    saved = train_lstm(circle(), settings_of(), tables, tmp_path, lambda line: None)
    assert (saved.settings.kind, saved.ranker.head) == ("lstm", None)


def test_scorers_agree_with_forward(tmp_path: Path, tables: Path) -> None:
    dataset: Dataset = circle()
    settings = settings_of(train={"epochs": 1})
    ranker = train_ranker(dataset, settings, tables, tmp_path, lambda line: None).ranker
    assert ranker.head is not None
    torch.nn.init.normal_(ranker.head.out.weight)
    step = open_feature_step(tables)
    users, _ = dataset.targets("test")
    history = dataset.histories("test", users, 8)
    everything = np.tile(np.arange(dataset.items + 1, dtype=np.int32), (len(users), 1))
    features = step.pack(history, everything)
    with torch.no_grad():
        wanted = ranker(*(torch.from_numpy(x) for x in (history, everything, features))).numpy()
    bare = SequenceScorer(ranker, dataset, 8)("test", users)
    whole = HybridScorer(ranker, dataset, 8, step)("test", users)
    np.testing.assert_allclose(whole[:, 1:], wanted[:, 1:], atol=1e-5)
    np.testing.assert_allclose(bare, candidate_scores(ranker, history, everything), atol=1e-5)
    sums = bare + head_scores(ranker.head, features)
    np.testing.assert_allclose(sums[:, 1:], whole[:, 1:], atol=1e-5)
