"""Multi-modal fusion: what is known of an item enters its row of the item table.

While a ranker is trained its table is a sum, the vector learned by id and a learned projection
of each known vector. Parts of it are dropped at random (modality dropout: Neverova et al.,
"ModDrop", 2016; dropping the id's part is DropoutNet, Volkovs et al. 2017), so that the other
parts learn to stand for them: an item without events is then in its place by its picture and
text. Afterwards the sum is folded into one table, and nothing that comes later knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from builders.ranker.interface import Ranker
from builders.ranker.tied import TiedRanker
from ensembles.errors import SettingsError

ID = "id"


class FusedTable(nn.Module):
    """An item table of N+1 rows in P parts: the id's, and one for each modality.

    Args:
        table: the id's part, float [N+1, D].
        known: modality → float [N+1, V], zero rows where nothing is known, as in row 0.
        trained: bool [N+1], items with a training event; the id's part of others is zero.
        dropout: share of the items that lose a part, for each part; see ``draw``.
    """

    def __init__(
        self, table: nn.Embedding, known: Mapping[str, Tensor], trained: Tensor, dropout: float
    ) -> None:
        super().__init__()
        width = table.weight.shape[1]
        self.id = table
        self.dropout = dropout
        self.projection = nn.ModuleDict(
            {name: nn.Linear(rows.shape[1], width, bias=False) for name, rows in known.items()}
        )
        for name, linear in self.projection.items():
            # Of a vector of length 1 that gives elements as those of the id's part.
            nn.init.normal_(linear.get_parameter("weight"), std=0.02)
            self.register_buffer(f"known_{name}", known[name], persistent=False)
        trained = trained.clone()
        trained[0] = True  # The start token.
        has = torch.stack([trained, *(rows.any(dim=1) for rows in known.values())], dim=1)
        self.register_buffer("has", has.float(), persistent=False)
        self.register_buffer("kept", has.float(), persistent=False)

    def draw(self) -> None:
        """Choose anew which parts of which items take part until the next draw.

        Each item keeps the part that drew the largest number, so none loses all that it has.
        """
        has = self.get_buffer("has")
        chance = torch.rand_like(has).masked_fill(has == 0, -1.0)
        most = chance.amax(dim=1, keepdim=True)
        kept = (chance >= self.dropout) | (chance == most)
        self.get_buffer("kept").copy_(kept * has)

    def forward(self, index: Tensor) -> Tensor:
        """Rows of the table: int [...] → float [..., D]."""
        kept = functional.embedding(index, self._kept())
        row: Tensor = self.id(index) * kept[..., :1]
        for column, (name, linear) in enumerate(self.projection.items(), start=1):
            known = functional.embedding(index, self.get_buffer(f"known_{name}"))
            row = row + linear(known) * kept[..., column : column + 1]
        return row

    @property
    def weight(self) -> Tensor:
        """The whole table: float [N+1, D]."""
        return torch.stack(list(self.parts().values())).sum(dim=0)

    def parts(self) -> dict[str, Tensor]:
        """What the table is the sum of, by name: float [N+1, D] each."""
        kept = self._kept()
        found = {ID: self.id.weight * kept[:, :1]}
        for column, (name, linear) in enumerate(self.projection.items(), start=1):
            found[name] = linear(self.get_buffer(f"known_{name}")) * kept[:, column : column + 1]
        return found

    def _kept(self) -> Tensor:
        return self.get_buffer("kept" if self.training else "has")


def fuse(ranker: Ranker, known: Mapping[str, Tensor], trained: Tensor, dropout: float) -> None:
    """Put a ``FusedTable`` around the ranker's item table; the arguments are explained there.

    Raises:
        SettingsError: the ranker has no item table of its own.
    """
    if not isinstance(ranker, TiedRanker) or not isinstance(ranker.item, nn.Embedding):
        raise SettingsError(
            f"ranker.fuse needs a builders.ranker.tied.TiedRanker, whose item table pictures and "
            f"texts can enter; {type(ranker).__name__} is none: subclass it, or set fuse = []"
        )
    ranker.item = FusedTable(ranker.item, known, trained, dropout)


@torch.no_grad()
def fold(ranker: Ranker) -> dict[str, Tensor]:
    """Make one embedding of a fused table, in place.

    Returns:
        The parts it is the sum of, float [N+1, D] each; none for a ranker that is not fused.
    """
    if not isinstance(ranker, TiedRanker) or not isinstance(ranker.item, FusedTable):
        return {}
    table = ranker.item.eval()
    rows = table.weight
    ranker.item = nn.Embedding(rows.shape[0], rows.shape[1], _weight=rows)
    return table.parts()


def redraw(ranker: Ranker) -> None:
    """``FusedTable.draw`` where the ranker has one."""
    if isinstance(ranker, TiedRanker) and isinstance(ranker.item, FusedTable):
        ranker.item.draw()
