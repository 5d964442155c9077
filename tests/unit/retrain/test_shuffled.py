"""A release that was trained on shuffled items is refused; one of the true log is published."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from builders.dataset.dataset import Dataset
from builders.publish.offline import Scorer, torch_scorer
from builders.ranker.train_ranker import train_ranker
from builders.retrain import window
from builders.retrain.comparison import Comparison
from builders.retrain.recorded import read_recorded
from builders.retrain.window import Window
from builders.retrieval.tables import write_tables
from tests.triton.tiny import SOURCE
from tests.unit.ranker.tiny_log import ITEMS, circle, settings_of
from tests.unit.retrain.exported import export

CUT = 1000
SETTINGS = settings_of(train={"epochs": 3}, ranker={"hybrid": False, "layers": 1})


def scorer_of(dataset: Dataset, folder: Path) -> Scorer:
    """Write what retrieves in a release that was trained on ``dataset``; what ranks."""
    features = folder / "features" / "1"
    shutil.copytree(SOURCE / "features" / "1" / "features_step", features / "features_step")
    tables = features / "tables"
    write_tables(dataset, SETTINGS, dataset.train_mask(), tables)
    return torch_scorer(
        train_ranker(dataset, SETTINGS, tables, folder / "work", lambda _: None).ranker
    )


@pytest.fixture(scope="module")
def gains(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Window, dict[str, NDArray[np.float64]]]:
    """Of releases of the same log, as it is and with its items in any order."""
    folder, log = tmp_path_factory.mktemp("shuffled"), circle()
    events = [
        (log.user_ids[u], log.item_ids[(last - 1 + step) % ITEMS + 1], "view", CUT + step)
        for step in (1, 2, 3)
        for u, last in enumerate(log.item[log.offsets[1:] - 1].tolist())
    ]
    recorded = read_recorded(export(folder / "events", events), SETTINGS)
    asked = Window.of(log, recorded, CUT)
    shuffled = replace(log, item=np.random.default_rng(3).permutation(log.item))
    found = {}
    for name, dataset in (("true", log), ("shuffled", shuffled)):
        score = scorer_of(dataset, folder / name)
        with pytest.MonkeyPatch.context() as patched:  # An export to ONNX would take seconds.
            patched.setattr(
                window,
                "graph_logits",
                lambda _, rows, score=score, **__: score(
                    rows.history, rows.candidate, rows.features
                ),
            )
            found[name] = asked.gains(folder / name, 1, SETTINGS)
    return asked, found


@pytest.mark.parametrize(
    ("current", "new", "published"), [("true", "shuffled", False), ("shuffled", "true", True)]
)
def test_only_what_learned_the_true_log_is_published(
    gains: tuple[Window, dict[str, NDArray[np.float64]]], current: str, new: str, published: bool
) -> None:
    asked, found = gains
    assert len(asked.query) == 3 * 60
    compared = Comparison.of(asked, found[current], found[new], CUT, 0.1, seed=0)
    assert compared.not_worse is published, compared.summary()
    assert (compared.quality.low > 0.3, compared.quality.high < -0.3) == (published, not published)
