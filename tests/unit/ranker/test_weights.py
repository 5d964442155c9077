"""Weights: read back as written, and refused when they do not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from builders.ranker.registry import build_ranker
from builders.ranker.settings import Ranker as RankerSettings
from builders.ranker.weights import DESCRIPTION, WEIGHTS, SavedRanker, load_ranker, save_ranker
from ensembles.errors import ReleaseError

IDS = ["", "a", "ü", "c"]
SHAPE = RankerSettings(width=8)


@pytest.fixture
def saved(tmp_path: Path) -> SavedRanker:
    made = SavedRanker(build_ranker(3, 5, SHAPE), IDS, 5, SHAPE)
    save_ranker(made, tmp_path)
    return made


def test_round_trip(saved: SavedRanker, tmp_path: Path) -> None:
    found = load_ranker(tmp_path)
    assert (found.item_ids, found.history, found.settings) == (IDS, 5, SHAPE)
    assert not found.ranker.training
    for name, value in saved.ranker.state_dict().items():
        assert torch.equal(found.ranker.state_dict()[name], value)


@pytest.mark.usefixtures("saved")
def test_another_user_can_read_them(tmp_path: Path) -> None:
    """A container serves a release as a user that did not build it."""
    assert (tmp_path / WEIGHTS).stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"\x00" * 64])
def test_missing_and_damaged_files(tmp_path: Path, name: str, content: bytes | None) -> None:
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_bytes(content)
    with pytest.raises(ReleaseError, match="cannot be read"):
        load_ranker(tmp_path)


@pytest.mark.usefixtures("saved")
def test_weights_of_another_shape(tmp_path: Path) -> None:
    raw = json.loads((tmp_path / DESCRIPTION).read_text())
    raw["item_ids"].append("d")
    (tmp_path / DESCRIPTION).write_text(json.dumps(raw))
    with pytest.raises(ReleaseError, match="do not fit"):
        load_ranker(tmp_path)
