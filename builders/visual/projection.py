"""Principal components of what a backbone gives (Pearson 1901): shorter vectors, centred."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ALIKE = 1e-9


@dataclass(frozen=True)
class Projection:
    """``(features - centre) @ axes``.

    Attributes:
        centre: float32 [F], what all pictures have in common.
        axes: float32 [F, V], orthonormal columns, the most variance first; columns of zeros
            where V is larger than F.
        kept: share of the pictures' variance along the axes, 0 to 1.
    """

    centre: NDArray[np.float32]
    axes: NDArray[np.float32]
    kept: float


def principal_components(features: NDArray[np.float32], width: int) -> Projection:
    """Fit to features float32 [M, F] of at least one picture.

    Where there are fewer pictures than ``width``, the further axes are any directions at right
    angles, along which these pictures do not differ, but new ones may. Pictures that are all alike
    have no centre taken off, which would leave nothing of them.
    """
    wide = features.astype(np.float64)
    centre = wide.mean(axis=0)
    centred = wide - centre
    values, axes = np.linalg.eigh(centred.T @ centred / len(wide))
    values, axes = np.maximum(values[::-1], 0), axes[:, ::-1][:, :width]
    if values.sum() <= _ALIKE * (centre**2).sum():
        centre, values = np.zeros_like(centre), np.eye(1, len(centre))[0]
    padded = np.zeros((features.shape[1], width))
    padded[:, : axes.shape[1]] = axes
    kept = float(values[:width].sum() / values.sum())
    return Projection(centre.astype(np.float32), padded.astype(np.float32), kept)
