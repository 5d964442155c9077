"""Training on a log whose rule is known: it is learned, and a kill costs nothing."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch

from builders.dataset.dataset import Dataset
from builders.ranker.batches import EpochBatches
from builders.ranker.interface import Ranker
from builders.ranker.precision import choose_precision
from builders.ranker.registry import build_ranker
from builders.ranker.scoring import scores
from builders.ranker.sequence_module import SequenceModule, learning_rate_factor
from builders.ranker.training import train_sequence_model
from builders.settings import Settings, Train
from ensembles.errors import BuildError
from tests.unit.ranker.tiny_log import ITEMS, circle, settings_of


def fresh(settings: Settings) -> Ranker:
    torch.manual_seed(0)
    return build_ranker(ITEMS, settings.features.history, settings.ranker)


def train(
    ranker: Ranker, settings: Settings, work: Path, dataset: Dataset | None = None
) -> list[str]:
    lines: list[str] = []
    length = settings.features.history
    train_sequence_model(ranker, dataset or circle(), settings.train, length, work, lines.append)
    return lines


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"ranker": {"positions": "learned"}, "train": {"ema": 0.9}},
        {"ranker": {"kind": "lstm"}, "train": {"schedule": "constant"}},
        {"train": {"loss": "sampled_softmax", "negatives": 12, "epochs": 20}},
        {"ranker": {"normalise": False}, "train": {"temperature": 1.0, "label_smoothing": 0.1}},
        {"train": {"precision": "bf16-mixed"}},
    ],
    ids=[
        "plain",
        "learned positions, EMA",
        "LSTM",
        "sampled",
        "dot product",
        "bfloat16",
    ],
)
def test_the_rule_is_learned(tmp_path: Path, sections: dict[str, dict[str, object]]) -> None:
    settings = settings_of(**sections)
    ranker = fresh(settings)
    lines = train(ranker, settings, tmp_path)
    best = max(float(re.findall(r"NDCG@10 ([\d.]+)", line)[0]) for line in lines)
    assert best > 0.9
    assert _knows_the_rule(ranker)


def _knows_the_rule(ranker: Ranker) -> bool:
    history = np.arange(1, ITEMS, dtype=np.int32)[:, None]
    following = scores(ranker, history)[:, 1:].argmax(1) + 1
    return bool((following == history[:, 0] + 1).mean() > 0.75)


def test_two_processes_train_together(tmp_path: Path) -> None:
    settings = settings_of(train={"devices": 2, "ema": 0.5, "epochs": 16})
    ranker = fresh(settings)
    train(ranker, settings, tmp_path)
    assert _knows_the_rule(ranker)


def test_an_empty_history_prefers_what_users_begin_with(tmp_path: Path) -> None:
    dataset = circle()
    first = dataset.offsets[:-1]
    item = dataset.item.copy()
    item[first] = np.where(np.arange(dataset.users) % 3 > 0, 7, item[first])
    dataset = Dataset(**{**vars(dataset), "item": item})
    settings = settings_of()
    ranker = fresh(settings)
    train(ranker, settings, tmp_path, dataset)
    assert scores(ranker, np.zeros((1, 8), np.int32))[0, 1:].argmax() + 1 == 7


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(train={"epochs": 4, "ema": 0.5})
    whole = fresh(settings)
    wanted = train(whole, settings, tmp_path / "whole")
    begin = SequenceModule.on_train_epoch_start

    def killed(module: SequenceModule) -> None:
        begin(module)
        if module.current_epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(SequenceModule, "on_train_epoch_start", killed)
    # Lightning would leave Ctrl-C switched off for the tests that follow.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        train(fresh(settings), settings, tmp_path / "killed")
    monkeypatch.setattr(SequenceModule, "on_train_epoch_start", begin)
    resumed = fresh(settings)
    lines = train(resumed, settings, tmp_path / "killed")
    assert lines[0] == "training goes on from its last finished epoch"
    figures = [[re.sub(r" \(.*", "", line) for line in run] for run in (wanted[2:], lines[1:])]
    assert figures[0] == figures[1]
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, rtol=0, atol=0)


def test_a_finished_run_trains_nothing_again(tmp_path: Path) -> None:
    settings = settings_of(train={"epochs": 2})
    first, again = fresh(settings), fresh(settings)
    train(first, settings, tmp_path)
    assert train(again, settings, tmp_path) == ["training goes on from its last finished epoch"]
    for name, value in first.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    runs = []
    for number, seed in enumerate((1, 1, 2)):
        settings = settings_of(train={"epochs": 1, "seed": seed})
        runs.append(fresh(settings))
        train(runs[-1], settings, tmp_path / str(number))
    first, same, other = (r.item_vectors() for r in runs)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_training_stops_when_validation_gets_no_better(tmp_path: Path) -> None:
    settings = settings_of(train={"epochs": 50, "patience": 2, "learning_rate": 1e-9})
    assert len(train(fresh(settings), settings, tmp_path)) <= 6


def test_an_epoch_that_the_clock_ends_is_still_validated(tmp_path: Path) -> None:
    settings = settings_of(train={"max_minutes": 1e-6})
    assert len(train(fresh(settings), settings, tmp_path)) == 1


def test_a_diverging_run(tmp_path: Path) -> None:
    settings = settings_of(ranker={"normalise": False}, train={"learning_rate": 1e30})
    with pytest.raises(BuildError, match=r"lower train\.learning_rate"):
        train(fresh(settings), settings, tmp_path)


def test_nothing_is_left_but_checkpoint_and_best_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_of(train={"epochs": 2})
    train(fresh(settings), settings, tmp_path / "work")
    assert [p.name for p in tmp_path.iterdir()] == ["work"]
    assert {p.name for p in (tmp_path / "work").iterdir()} == {
        "last.ckpt",
        "best.safetensors",
        "progress.json",
    }
    assert capfd.readouterr() == ("", "")


def test_precision_is_the_setting_or_one_of_two() -> None:
    ranker = fresh(settings_of())
    batch = next(iter(EpochBatches(circle(), 8, 16, 0, 0)))
    assert choose_precision(ranker, batch, Train(precision="16-mixed")) == "16-mixed"
    assert choose_precision(ranker, batch, Train()) in ("32-true", "bf16-mixed")
    assert all(p.grad is None for p in ranker.parameters())


def test_learning_rate_rises_then_falls() -> None:
    train = Train(warmup=0.1)
    factors = [learning_rate_factor(step / 100, train) for step in range(101)]
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[0] > 0
    assert (max(factors), factors[-1]) == pytest.approx((1, 0.02))
    assert learning_rate_factor(0.9, Train(schedule="constant")) == 1


def test_lightning_is_seeded_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    lightning.seed_everything(1, verbose=False)
    assert capfd.readouterr() == ("", "")
