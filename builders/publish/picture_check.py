"""The served check of pictures: vectors first, then recommendations for users who send one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.settings import Settings
from builders.visual.index import VECTORS
from ensembles.contracts import IMAGE, VISUAL_VECTOR
from ensembles.errors import VerificationError
from ensembles.recommend import ENCODE_IMAGE, FEATURES, RECOMMEND_VISUAL

USERS = 30
"""Who send pictures in the check."""


@dataclass(frozen=True)
class PictureCheck:
    """What the check found.

    Attributes:
        pictures: encoded by the running server and compared with the vectors of the build.
        vector_difference: largest of an element.
        users: who sent one of the pictures.
        identical: users whose served list equals the offline list to the letter.
        largest_difference: of a score, served against offline.
    """

    pictures: int
    vector_difference: float
    users: int
    identical: int
    largest_difference: float

    def summary(self) -> str:
        """Part of a line of the build's output."""
        return (
            f"{self.pictures} pictures, largest difference of a vector "
            f"{self.vector_difference:.1e}; {self.users} users with a picture: {self.identical} "
            f"lists identical, largest score difference {self.largest_difference:.1e}"
        )


def samples(repository: Path) -> list[Path]:
    """Sample pictures of release 1, named by item number; empty where it takes none."""
    return sorted((repository / RECOMMEND_VISUAL.name / "1" / "samples").glob("*"))


def served_vectors(
    address: str, repository: Path, files: Sequence[Path], settings: Settings
) -> tuple[NDArray[np.float32], float]:
    """Vectors of some samples by a running server, and how far they are from the build's.

    Args:
        address: of the gRPC front end.

    Returns:
        float32 [n, V] and the largest difference of an element.

    Raises:
        VerificationError: that is more than ``visual.tolerance``.
    """
    import tritonclient.grpc as triton

    table = repository / FEATURES.name / "1" / "tables" / VECTORS
    expected = np.load(table, mmap_mode="r", allow_pickle=False)[[int(f.stem) for f in files]]
    found = np.empty_like(expected)
    with triton.InferenceServerClient(address) as client:
        for row, file in enumerate(files):
            raw = np.fromfile(file, np.uint8)
            tensor = triton.InferInput(IMAGE.name, [1, len(raw)], IMAGE.datatype)
            tensor.set_data_from_numpy(raw[None])
            answer: Any = client.infer(ENCODE_IMAGE.name, [tensor])
            found[row] = answer.as_numpy(VISUAL_VECTOR.name)[0]
    off = np.abs(found - expected).max(axis=1)
    if not off.max() <= settings.visual.tolerance:
        worst = int(off.argmax())
        raise VerificationError(
            f"the served vector of picture {files[worst].name} differs from the build's by "
            f"{off[worst]:.3g}, more than visual.tolerance = {settings.visual.tolerance:g}"
        )
    return found, float(off.max())
