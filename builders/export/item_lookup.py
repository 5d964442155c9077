"""Rankers whose item table has outgrown the graph: the graph takes looked-up rows instead.

The table then lies beside the graph as an array, which the features step maps into memory. Its
rows are those that the graph itself would look up, so that scores stay the same.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from builders.export.torch2onnx import MODEL, example, export, export_graph
from builders.ranker.interface import Ranker
from builders.ranker.tied import TiedRanker
from builders.settings import Export
from ensembles.contracts import CANDIDATE_VECTOR, HISTORY_VECTOR
from ensembles.errors import BuildError


class LookupRanker(nn.Module):
    """A ranker without its item table, of which it keeps the start token."""

    def __init__(self, ranker: TiedRanker) -> None:
        super().__init__()
        row = ranker.start().detach()[None]
        start = nn.Embedding(1, row.shape[1], _weight=row)
        # Copied around the table, which may be large.
        self.ranker: TiedRanker = copy.deepcopy(ranker, {id(ranker.item): start})

    def forward(
        self,
        history: Tensor,
        candidate: Tensor,  # noqa: ARG002
        candidate_features: Tensor,
        history_vector: Tensor,
        candidate_vector: Tensor,
    ) -> Tensor:
        """What ``Ranker.forward`` gives, float [B, C].

        Args:
            history: int [B, L], padded left with 0.
            candidate: int [B, C], not read; an input so that every graph has the same first three.
            candidate_features: float [B, C, F].
            history_vector: float [B, L, D], rows of the item table, row 0 for padding too.
            candidate_vector: float [B, C, D], likewise.
        """
        ranker = self.ranker
        user = ranker.newest_state(history, ranker.read(history_vector)).unsqueeze(-1)
        score = torch.matmul(ranker.scored(candidate_vector), user).squeeze(-1)
        return ranker.blended(score, candidate_features)


def outgrows(ranker: Ranker, settings: Export) -> bool:
    """Whether the item table is larger, as the graph would hold it, than the graph may hold.

    Of a ranker with a class of its own, item vectors are taken for its table.
    """
    if isinstance(ranker, TiedRanker):
        held: list[Tensor] = list(ranker.item.state_dict().values())
    else:
        with torch.no_grad():
            held = [ranker.item_vectors()]
    size = sum(t.numel() * t.element_size() for t in held)
    return size > settings.max_item_table_mb * 1e6


def export_ranker(ranker: Ranker, history: int, folder: Path, settings: Export) -> Path:
    """Write ``model.onnx`` in the form that the size of the item table asks for.

    Raises:
        BuildError: PyTorch cannot export the ranker, or its item table cannot leave the graph.
    """
    form = export_lookup if outgrows(ranker, settings) else export
    return form(ranker, history, folder, settings)


def export_lookup(ranker: Ranker, history: int, folder: Path, settings: Export) -> Path:
    """Write ``model.onnx`` with two more inputs than ``export``, and the item table beside it.

    Raises:
        BuildError: PyTorch cannot export the ranker, or its item table cannot leave the graph.
    """
    if not isinstance(ranker, TiedRanker):
        raise BuildError(
            f"the item table of {type(ranker).__name__} is larger than export.max_item_table_mb = "
            f"{settings.max_item_table_mb:g} and cannot leave the graph, since the class is no "
            "builders.ranker.tied.TiedRanker; subclass that, or raise the setting"
        )
    ranker.eval()
    inputs = example(history)
    width = len(ranker.start())
    vectors = {
        tensor.name: torch.zeros(2, inputs[number].shape[1], width)
        for number, tensor in enumerate((HISTORY_VECTOR, CANDIDATE_VECTOR))
    }
    export_graph(LookupRanker(ranker).eval(), inputs, vectors, folder / MODEL, settings)
    write_item_vectors(ranker, table_of(folder / MODEL))
    return folder / MODEL


@torch.no_grad()
def write_item_vectors(ranker: TiedRanker, file: Path) -> None:
    """The item table as it is read, whatever form it has: float32 [N+1, D] in a .npy file."""
    table: Any = ranker.item.weight
    np.save(file, table.float().numpy(), allow_pickle=False)


def table_of(graph: Path) -> Path:
    """Where the item table of a graph lies; no file there means that the graph holds it."""
    return graph.with_suffix(".item_vectors.npy")


def move_graph(source: Path, target: Path) -> None:
    """Rename a graph, and its item table where it has one beside it."""
    for old, new in ((source, target), (table_of(source), table_of(target))):
        if old.is_file():
            old.replace(new)


def copy_graph(source: Path, target: Path) -> None:
    """Copy a graph, and its item table where it has one beside it."""
    for old, new in ((source, target), (table_of(source), table_of(target))):
        if old.is_file():
            shutil.copy2(old, new)
