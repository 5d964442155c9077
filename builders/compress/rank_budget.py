"""Which layers become low rank, and how low, so that a budget of parameters is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NOTHING = 1e-12
"""Share of a layer's energy below which a direction is rounding error."""

_MULTIPLE = 8
"""From here on ranks go in steps: matrix kernels, INT8 ones above all, are slower between."""


@dataclass(frozen=True)
class Spectrum:
    """What a layer of [outputs, inputs] parameters loses when it keeps few directions.

    Attributes:
        energies: squared singular values of the layer's output on real rows, falling: float
            [min(outputs, inputs)].
    """

    outputs: int
    inputs: int
    energies: NDArray[np.float64]

    @property
    def whole(self) -> int:
        """Parameters of the layer as it is."""
        return self.outputs * self.inputs

    @property
    def per_rank(self) -> int:
        """Parameters of each direction that is kept."""
        return self.outputs + self.inputs

    def cost(self, rank: int | None) -> int:
        """Parameters at a rank, or whole (None)."""
        return self.whole if rank is None else rank * self.per_rank

    def lost(self) -> NDArray[np.float64]:
        """Share of the output's energy that rank 0, 1, 2 ... loses."""
        shares = self.energies / max(float(self.energies.sum()), 1e-300)
        shares = np.where(shares < _NOTHING, 0.0, shares)
        return np.concatenate([np.cumsum(shares[::-1])[::-1], [0.0]])


def choose_ranks(layers: Sequence[Spectrum], budget: int) -> list[int | None]:
    """A rank for each layer, None for a layer that stays whole.

    Greedy: the step that loses least energy, relative to its layer's output, for a parameter
    saved comes first, until the parameters of all layers are ``budget`` at most; steps that lose
    nothing are always taken. Nothing goes below rank 1, even when the budget asks for it.
    """
    steps = sorted(step for number, layer in enumerate(layers) for step in _steps(number, layer))
    ranks: list[int | None] = [None] * len(layers)
    total = sum(layer.whole for layer in layers)
    for price, number, rising in steps:
        if total <= budget and price > 0:
            break
        total += layers[number].cost(-rising) - layers[number].cost(ranks[number])
        ranks[number] = -rising
    return ranks


def _steps(number: int, layer: Spectrum) -> list[tuple[float, int, int]]:
    """(price, number, minus rank): from whole to the best first rank, then lower ones, to 1.

    The first ranks under the whole matrix save next to nothing and lose something, so the
    first step goes as far as makes it cheapest. Prices rise from step to step.
    """
    lost = layer.lost()
    largest = (layer.whole - 1) // layer.per_rank  # More would save nothing.
    ranks = np.array([r for r in range(1, largest + 1) if r < _MULTIPLE or r % _MULTIPLE == 0])
    if not len(ranks):
        return []
    prices = lost[ranks] / (layer.whole - ranks * layer.per_rank)
    first = int(prices.argmin())  # The lowest of equals.
    taken = ranks[first::-1]
    further = np.diff(lost[taken]) / (-np.diff(taken) * layer.per_rank)
    rising = np.maximum.accumulate([prices[first], *further])
    return [(float(p), number, -int(rank)) for p, rank in zip(rising, taken, strict=True)]
