"""Fusion: parts that stand for each other while training, one plain table afterwards."""

from __future__ import annotations

import copy
import signal
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn

from builders.dataset.dataset import Dataset
from builders.ranker.fusion import FusedTable, fold, fuse
from builders.ranker.interface import Ranker
from builders.ranker.known_vectors import known_vectors
from builders.ranker.registry import build_ranker
from builders.ranker.scoring import scores
from builders.ranker.sequence_module import SequenceModule
from builders.ranker.train_ranker import TrainedRanker, train_lstm, train_ranker
from builders.ranker.training import train_sequence_model
from builders.ranker.weights import load_ranker, save_ranker, write_tensors
from builders.retrieval.tables import write_tables
from builders.settings import Settings
from ensembles.contracts import CANDIDATE_FEATURES_WIDTH, HEAD_FEATURES
from ensembles.errors import SettingsError
from tests.unit.ranker.tiny_log import ITEMS, circle, dataset_of, settings_of

NEW = ITEMS + 1
"""An item without any event."""
TWIN = 7
"""The item whose picture it shares."""


def _with_a_new_item() -> Dataset:
    log = circle()
    sequences = [log.item[a:b].tolist() for a, b in zip(log.offsets, log.offsets[1:], strict=False)]
    return dataset_of(sequences, items=NEW)


def _pictures(folder: Path) -> Path:
    rows = np.zeros((NEW + 1, NEW), np.float32)
    rows[np.arange(1, NEW), np.arange(1, NEW)] = 1
    rows[NEW] = rows[TWIN]
    np.save(folder / "pictures.npy", rows)
    return folder / "pictures.npy"


def _settings(**train: object) -> Settings:
    return Settings.parse(
        {
            **settings_of(train=train).model_dump(),
            "data": {"format": "csv", "images": "posters/{item_id}.jpg"},
            "ranker": {"width": 16, "heads": 2, "dropout": 0.1, "fuse": ["image"]},
        },
        origin="test",
    )


def _table(seed: int = 0, dropout: float = 0.5) -> FusedTable:
    """10 rows with each combination of parts; row 9 has none."""
    torch.manual_seed(seed)
    known = {"image": torch.randn(10, 3), "text": torch.randn(10, 5)}
    known["image"][[0, 2, 4, 6, 9]] = 0
    known["text"][[0, 3, 4, 7, 9]] = 0
    trained = torch.tensor([0, 1, 1, 1, 1, 0, 0, 0, 1, 0], dtype=torch.bool)
    return FusedTable(nn.Embedding(10, 4), known, trained, dropout)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRanker:
    folder = tmp_path_factory.mktemp("fused")
    dataset, settings = _with_a_new_item(), _settings(epochs=10)
    write_tables(dataset, settings, dataset.train_mask(), folder)
    return train_ranker(
        dataset, settings, folder, folder / "work", lambda _: None, _pictures(folder)
    )


def test_an_item_without_events_is_where_its_picture_puts_it(trained: TrainedRanker) -> None:
    found = scores(trained.ranker, np.array([[TWIN - 2, TWIN - 1], [TWIN + 3, TWIN + 4]], np.int32))
    assert found[0, 1:NEW].argmax() + 1 == TWIN
    twin, new = found[:, TWIN], found[:, NEW]
    others = np.delete(found, [0, TWIN, NEW], axis=1)
    # It stands before all others where its twin does, and nowhere else.
    assert new[0] > others[0].max()
    assert new[1] < others[1].max()
    assert np.abs(new - twin).max() < 0.5


def test_what_is_left_is_one_table_and_its_parts(trained: TrainedRanker, tmp_path: Path) -> None:
    item = trained.ranker.get_submodule("item")
    assert isinstance(item, nn.Embedding)
    assert item.weight.requires_grad
    assert list(trained.parts) == ["id", "image"]
    assert torch.equal(trained.parts["id"] + trained.parts["image"], item.weight)
    assert not trained.parts["id"][NEW].any()
    assert not trained.parts["image"][0].any()
    save_ranker(trained.saved, tmp_path)
    again = load_ranker(tmp_path).ranker
    history = np.array([[1, 2, 3]], np.int32)
    assert (scores(again, history) == scores(trained.ranker, history)).all()
    write_tensors(trained.parts, tmp_path / "parts.safetensors")
    assert torch.equal(load_file(tmp_path / "parts.safetensors")["image"], trained.parts["image"])


@pytest.mark.parametrize("kind", ["transformer", "lstm"])
def test_folding_changes_no_score(kind: str) -> None:
    torch.manual_seed(0)
    ranker = build_ranker(9, 8, settings_of(ranker={"kind": kind}).ranker).eval()
    table = _table()
    fuse(ranker, {n: table.get_buffer(f"known_{n}") for n in ("image", "text")}, _trained(), 0.3)
    ranker.eval()
    folded = copy.deepcopy(ranker)
    parts = fold(folded)
    assert set(parts) == {"id", "image", "text"}
    history = torch.randint(0, 10, (5, 8))
    with torch.no_grad():
        torch.testing.assert_close(folded.encode(history), ranker.encode(history))
        assert torch.equal(folded.item_vectors(), ranker.item_vectors())
    assert fold(folded) == {}


def _trained() -> Tensor:
    return torch.ones(10, dtype=torch.bool)


@given(seed=st.integers(0, 10_000), dropout=st.floats(0, 0.99))
def test_no_item_loses_all_that_it_has(seed: int, dropout: float) -> None:
    table = _table(dropout=dropout)
    torch.manual_seed(seed)
    table.draw()
    kept, has = table.get_buffer("kept"), table.get_buffer("has")
    assert (kept <= has).all()
    assert ((kept.sum(1) > 0) == (has.sum(1) > 0)).all()
    assert has[0].tolist() == kept[0].tolist() == [1, 0, 0]
    assert has[9].tolist() == [0, 0, 0]


def test_parts_are_dropped_as_often_as_asked_for() -> None:
    known = {"image": torch.ones(20_000, 2)}
    known["image"][0] = 0
    table = FusedTable(nn.Embedding(20_000, 2), known, torch.ones(20_000).bool(), 0.3)
    table.draw()
    lost = 1 - table.get_buffer("kept")[1:].mean(0)
    # The larger of two draws is kept whatever it is: 0.3 less half of the 0.3 squared.
    torch.testing.assert_close(lost, torch.full((2,), 0.3 - 0.045), atol=0.02, rtol=0)


def test_rows_and_the_whole_table_agree_in_training_and_after() -> None:
    table = _table()
    table.draw()
    index = torch.tensor([[9, 3], [0, 8]])
    for training in (True, False):
        table.train(training)
        torch.testing.assert_close(table(index), table.weight[index])
    whole = table.weight
    table.train()
    assert not torch.equal(table.weight, whole)
    assert not whole[9].any()
    assert torch.equal(whole[0], table.id.weight[0])


def test_items_without_events_get_no_gradient(tmp_path: Path) -> None:
    dataset, settings = _with_a_new_item(), _settings()
    for loss in ("full_softmax", "sampled_softmax"):
        ranker = build_ranker(NEW, 8, settings.ranker)
        train = settings.train.model_copy(update={"loss": loss, "negatives": 500})
        gradients = {}
        for only in (True, False):
            module = SequenceModule(ranker, dataset, train, 8, tmp_path, print, only_trained=only)
            state = 0.1 * torch.randn(6, 16)
            vectors = torch.randn(NEW + 1, 16, requires_grad=True)
            module._loss(state, vectors, torch.tensor([1, 2, 3, 4, 5, ITEMS])).backward()  # type: ignore[no-untyped-call]
            assert vectors.grad is not None
            gradients[only] = vectors.grad.abs().sum(1) > 0
        assert not gradients[True][NEW]
        assert gradients[True][1:NEW].all()
        assert gradients[False][NEW]


def test_all_items_trained_is_the_plain_softmax(tmp_path: Path) -> None:
    dataset, settings = circle(), settings_of()
    ranker = build_ranker(ITEMS, 8, settings.ranker)
    state, vectors = torch.randn(6, 16), torch.randn(ITEMS + 1, 16)
    found = [
        SequenceModule(
            ranker, dataset, settings.train, 8, tmp_path, print, only_trained=only
        )._loss(state, vectors, torch.arange(1, 7))
        for only in (True, False)
    ]
    torch.testing.assert_close(*found)


def test_a_killed_fused_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, settings = _with_a_new_item(), _settings(epochs=3, ema=0.5)

    def run(work: Path) -> dict[str, Tensor]:
        torch.manual_seed(0)
        ranker = build_ranker(NEW, 8, settings.ranker)
        known = known_vectors(dataset, settings, _pictures(tmp_path))
        fuse(ranker, known, torch.arange(NEW + 1) < NEW, 0.3)
        build = partial(SequenceModule, only_trained=True)
        train_sequence_model(ranker, dataset, settings.train, 8, work, print, None, build)
        fold(ranker)
        return ranker.state_dict()

    whole = run(tmp_path / "whole")
    begin = SequenceModule.on_train_epoch_start

    def killed(module: SequenceModule) -> None:
        begin(module)
        if module.current_epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(SequenceModule, "on_train_epoch_start", killed)
    # Lightning would leave Ctrl-C switched off for the tests that follow.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed")
    monkeypatch.setattr(SequenceModule, "on_train_epoch_start", begin)
    resumed = run(tmp_path / "killed")
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_an_lstm_to_compare_with_is_fused_too(tmp_path: Path) -> None:
    dataset, settings = _with_a_new_item(), _settings(epochs=1)
    saved = train_lstm(
        dataset, settings, tmp_path, tmp_path / "work", lambda _: None, _pictures(tmp_path)
    )
    assert isinstance(saved.ranker.get_submodule("item"), nn.Embedding)
    vectors = saved.ranker.item_vectors()
    assert vectors[NEW] @ vectors[TWIN] > 0


def test_the_picture_of_a_request_takes_its_share() -> None:
    torch.manual_seed(0)
    ranker = build_ranker(ITEMS, 8, settings_of().ranker).eval()
    assert ranker.head is not None
    nn.init.normal_(ranker.head.out.weight)
    history, candidate = torch.randint(1, ITEMS, (3, 8)), torch.randint(1, ITEMS, (3, 5))
    features = torch.randn(3, 5, CANDIDATE_FEATURES_WIDTH)
    features[..., HEAD_FEATURES:] = 0
    with torch.no_grad():
        without = ranker(history, candidate, features)
        user = ranker.user_vector(history).unsqueeze(-1)
        bare = torch.matmul(ranker.candidate_vectors(candidate), user).squeeze(-1)
        assert torch.equal(without, bare + ranker.head(features[..., :HEAD_FEATURES]))
        features[..., HEAD_FEATURES], features[..., HEAD_FEATURES + 1] = 0.2, 0.25
        torch.testing.assert_close(ranker(history, candidate, features), 0.75 * without + 0.2)
        features[..., HEAD_FEATURES + 1] = 1
        torch.testing.assert_close(
            ranker(history, candidate, features), torch.full_like(without, 0.2)
        )


@pytest.mark.parametrize("kind", ["Plain", "MeanRanker"])
def test_a_ranker_without_item_table_of_ours(kind: str) -> None:
    settings = settings_of(ranker={"kind": f"tests.unit.ranker.own_ranker:{kind}"})
    ranker: Ranker = build_ranker(ITEMS, 8, settings.ranker)
    with pytest.raises(SettingsError, match=r"subclass it, or set fuse = \[\]"):
        fuse(ranker, {}, torch.ones(ITEMS + 1).bool(), 0.3)


def test_pictures_to_fuse_and_none_there() -> None:
    raw = settings_of().model_dump()
    with pytest.raises(SettingsError, match=r"set data\.images .* or visual\.covers = true"):
        Settings.parse({**raw, "ranker": {"fuse": ["image"]}}, origin="test")
    covers = {**raw, "ranker": {"fuse": ["image"]}, "visual": {"covers": True}}
    assert Settings.parse(covers, origin="test").has_pictures
