"""Smaller forms of linear layers and item tables, and a ranker of such forms read back.

The weights alone tell the form: ``conform`` gives a fresh ranker the modules that a state
dictionary was taken from, so that a compressed ranker needs no description of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from builders.ranker.interface import Ranker
from ensembles.errors import ReleaseError

BLOCKS = "blocks"


class LowRankLinear(nn.Module):
    """A linear layer as two: float [..., in] → [..., rank] → [..., out]."""

    def __init__(self, inputs: int, rank: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.up(self.down(x))
        return out


class LowRankEmbedding(nn.Module):
    """An embedding of ``rows`` rows as a narrow table and a matrix that widens its rows."""

    def __init__(self, rows: int, rank: int, width: int) -> None:
        super().__init__()
        self.table: nn.Module = nn.Embedding(rows, rank)
        self.up = nn.Linear(rank, width, bias=False)

    def forward(self, index: Tensor) -> Tensor:
        out: Tensor = self.up(self.table(index))
        return out

    @property
    def weight(self) -> Tensor:
        """The whole table: float [rows, width]."""
        narrow = self.table.weight
        assert isinstance(narrow, Tensor)
        wide: Tensor = self.up(narrow)
        return wide


class RowInt8Embedding(nn.Module):
    """An embedding in 8-bit integers, symmetric, with one float32 scale a row."""

    values: Tensor
    scale: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer("values", torch.zeros(rows, width, dtype=torch.int8))
        self.register_buffer("scale", torch.zeros(rows, 1))

    def forward(self, index: Tensor) -> Tensor:
        # Rows are looked up as integers, so that the graph holds no float table; by ``embedding``,
        # because the exporter turns subscripts into an operator that refuses int32 numbers.
        integers = functional.embedding(index, self.values)
        return integers.float() * functional.embedding(index, self.scale)

    @property
    def weight(self) -> Tensor:
        """The whole table: float [rows, width]."""
        return self.values.float() * self.scale


def replace_module(ranker: nn.Module, path: str, module: nn.Module) -> None:
    """Put ``module`` where ``path`` (as in ``named_modules``) points."""
    parent, _, name = path.rpartition(".")
    setattr(ranker.get_submodule(parent), name, module)


def conform(ranker: Ranker, state: Mapping[str, Tensor]) -> None:
    """Change a fresh ranker in place until ``state`` fits it; weights are not copied.

    Raises:
        ReleaseError: ``state`` is of another kind of ranker.
    """
    blocks = getattr(ranker, BLOCKS, None)
    if isinstance(blocks, nn.ModuleList):
        kept = {name.split(".")[1] for name in state if name.startswith(f"{BLOCKS}.")}
        if not kept or len(kept) > len(blocks):
            raise ReleaseError(
                f"the weights have {len(kept)} blocks, their description allows 1 to "
                f"{len(blocks)}; build the release again"
            )
        del blocks[len(kept) :]
    for path, module in list(ranker.named_modules()):
        found = _conformed(module, path, state)
        if found is not None:
            replace_module(ranker, path, found)


def _conformed(module: nn.Module, path: str, state: Mapping[str, Tensor]) -> nn.Module | None:
    """What must stand in place of ``module``, or None where it fits."""
    if isinstance(module, nn.Linear):
        return _linear(module, path, state)
    if isinstance(module, nn.Embedding):
        return _embedding(path, state)
    return None


def _linear(module: nn.Linear, path: str, state: Mapping[str, Tensor]) -> nn.Module | None:
    bias = module.bias is not None
    if f"{path}.down.weight" in state:
        rank, inputs = state[f"{path}.down.weight"].shape
        return LowRankLinear(inputs, rank, len(state[f"{path}.up.weight"]), bias=bias)
    weight = state.get(f"{path}.weight")
    if weight is None or weight.shape == module.weight.shape or weight.dim() != 2:
        return None
    return nn.Linear(weight.shape[1], weight.shape[0], bias=bias)


def _embedding(path: str, state: Mapping[str, Tensor]) -> nn.Module | None:
    if f"{path}.values" in state:
        rows, width = state[f"{path}.values"].shape
        return RowInt8Embedding(rows, width)
    if f"{path}.up.weight" not in state:
        return None
    width, rank = state[f"{path}.up.weight"].shape
    integers = state.get(f"{path}.table.values")
    rows = len(state[f"{path}.table.weight"] if integers is None else integers)
    found = LowRankEmbedding(rows, rank, width)
    if integers is not None:
        found.table = RowInt8Embedding(rows, rank)
    return found
