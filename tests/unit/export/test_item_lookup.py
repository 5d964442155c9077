"""Without its item table a ranker's graph answers the same, from looked-up rows."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from builders.evaluation.retrieved import RetrievedCandidates
from builders.export.item_lookup import (
    LookupRanker,
    copy_graph,
    export_lookup,
    export_ranker,
    move_graph,
    outgrows,
    table_of,
)
from builders.export.verify import feed_of, open_session, verify
from builders.ranker.compact import LowRankEmbedding, RowInt8Embedding
from builders.ranker.interface import Ranker
from builders.ranker.registry import build_ranker
from builders.ranker.tied import TiedRanker
from builders.settings import Export
from ensembles.contracts import CANDIDATE_FEATURES_WIDTH
from ensembles.errors import BuildError
from tests.unit.export.random_rows import random_rows
from tests.unit.ranker.tiny_log import ITEMS, settings_of

H, C, D = 6, 9, 16
OWN = "tests.unit.ranker.own_ranker:MeanRanker"
SHAPES: dict[str, dict[str, Any]] = {
    "transformer": {"positions": "rotary"},
    "learned positions, no head": {"positions": "learned", "hybrid": False, "normalise": False},
    "lstm": {"kind": "lstm"},
    "low rank": {},
    "row int8": {},
}


def _table(name: str) -> nn.Module | None:
    if name == "low rank":
        return LowRankEmbedding(ITEMS + 1, 3, D)
    if name == "row int8":
        table = RowInt8Embedding(ITEMS + 1, D)
        table.values.random_(-127, 128)
        table.scale.uniform_(0.001, 0.002)
        return table
    return None


def _ranker(name: str) -> TiedRanker:
    torch.manual_seed(0)
    ranker = build_ranker(ITEMS, H, settings_of(ranker=SHAPES[name]).ranker).eval()
    assert isinstance(ranker, TiedRanker)
    ranker.item = _table(name) or ranker.item
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.normal_(std=0.3)
    return ranker


@pytest.fixture(scope="module")
def samples() -> RetrievedCandidates:
    return random_rows(ITEMS, H, C)


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_looked_up_rows_give_the_same_scores(name: str, samples: RetrievedCandidates) -> None:
    ranker = _ranker(name)
    before = {key: value.clone() for key, value in ranker.state_dict().items()}
    inputs = [torch.from_numpy(a) for a in (samples.history, samples.candidate, samples.features)]
    inputs[0][0] = 0  # an empty history
    inputs[1][1, ::2] = 0  # padding
    rows = [ranker.item(index) for index in inputs[:2]]
    found = LookupRanker(ranker)(*inputs, *rows)
    torch.testing.assert_close(found, ranker(*inputs), atol=1e-6, rtol=0)
    for key, value in ranker.state_dict().items():
        torch.testing.assert_close(value, before[key], msg=f"{key} was changed")


@pytest.mark.parametrize("name", SHAPES)
def test_exported_graph_and_table(tmp_path: Path, name: str, samples: RetrievedCandidates) -> None:
    ranker = _ranker(name)
    model = export_lookup(ranker, H, tmp_path, Export())
    verify(ranker, model, samples, Export(tolerance=1e-5))
    assert {p.name for p in tmp_path.iterdir()} == {"model.onnx", "model.item_vectors.npy"}
    table = np.load(table_of(model), allow_pickle=False)
    assert (table.dtype, table.shape) == (np.float32, (ITEMS + 1, D))
    rows = ranker.item(torch.arange(ITEMS + 1)).detach().numpy()
    np.testing.assert_allclose(table, rows, atol=1e-6)
    graph = onnx.load(str(model)).graph
    shapes = {
        i.name: [d.dim_value or -1 for d in i.type.tensor_type.shape.dim] for i in graph.input
    }
    assert shapes == {
        "history": [-1, H],
        "candidate": [-1, -1],
        "candidate_features": [-1, -1, CANDIDATE_FEATURES_WIDTH],
        "history_vector": [-1, H, D],
        "candidate_vector": [-1, -1, D],
    }
    assert all(len(i.dims) == 0 or i.dims[0] != ITEMS + 1 for i in graph.initializer)


def test_graph_and_table_travel_together(tmp_path: Path, samples: RetrievedCandidates) -> None:
    model = export_lookup(_ranker("lstm"), H, tmp_path, Export())
    other, moved = tmp_path / "other.onnx", tmp_path / "moved.onnx"
    copy_graph(model, other)
    move_graph(other, moved)
    assert not other.exists()
    assert not table_of(other).exists()
    rows = np.arange(3)
    feeds = [feed_of(open_session(m), samples, rows) for m in (model, moved)]
    np.testing.assert_array_equal(feeds[0]["history_vector"], feeds[1]["history_vector"])
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(model.read_bytes())
    feed = feed_of(open_session(alone, table=table_of(model)), samples, rows)
    np.testing.assert_array_equal(feed["candidate_vector"], feeds[0]["candidate_vector"])


def test_the_configured_size_decides(tmp_path: Path) -> None:
    ranker = _ranker("transformer")
    megabytes = (ITEMS + 1) * D * 4 / 1e6
    assert not outgrows(ranker, Export(max_item_table_mb=megabytes))
    small = Export(max_item_table_mb=megabytes * 0.99)
    assert outgrows(ranker, small)
    assert not outgrows(_ranker("row int8"), small)  # as the graph would hold it
    for settings, there in ((Export(), False), (small, True)):
        assert table_of(export_ranker(ranker, H, tmp_path, settings)).is_file() is there


def test_a_class_of_ones_own_keeps_its_table(tmp_path: Path) -> None:
    own: Ranker = build_ranker(ITEMS, H, settings_of(ranker={"kind": OWN}).ranker)
    assert not outgrows(own, Export())
    with pytest.raises(BuildError, match=r"item table of MeanRanker .* cannot leave the graph"):
        export_ranker(copy.deepcopy(own), H, tmp_path, Export(max_item_table_mb=0))
