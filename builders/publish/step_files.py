"""What the stages of a build left, and where it goes in the version folders of a release."""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from builders.export.item_lookup import table_of
from builders.export.torch2onnx import MODEL
from builders.ranker.weights import DESCRIPTION, UNCOMPRESSED, WEIGHTS
from builders.visual.index import INDEX, VECTORS
from builders.visual.shown import COVERS, SAMPLES
from ensembles.fuse import FUSED
from ensembles.profiles import CPU
from ensembles.recommend import (
    ENCODE_IMAGE,
    FEATURES,
    IMAGE_ENCODER,
    PREPROCESS,
    RECOMMEND_VISUAL,
)
from serving.preview.catalogue import PICTURES

_RUN = ("*_step", "tables", MODEL)
"""What the processor needs of a step's version folder, beside ``model.py``."""


def link_members(repository: Path, release: int) -> None:
    """Put what the joined model runs into its version folder: links, no second copy on disk."""
    folder = repository / FUSED / str(release)
    for step in CPU.fused:
        version = repository / step / str(release)
        for part in (p for pattern in _RUN for p in version.glob(pattern)):
            for path in (part, *part.rglob("*")):
                target = folder / path.relative_to(version)
                if path.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                elif not target.exists():  # policy's item ids are those of features
                    os.link(path, target)


def keeping_links() -> Callable[[str, str], None]:
    """A copy function in whose copies linked files are linked again."""
    copied: dict[tuple[int, int], str] = {}

    def copy(source: str, target: str) -> None:
        status = Path(source).stat()
        first = copied.setdefault((status.st_dev, status.st_ino), target)
        if first == target:
            shutil.copy2(source, target)
        else:
            os.link(first, target)

    return copy


@dataclass(frozen=True)
class RankerFiles:
    """Folders with what makes a ranker's version folder.

    Attributes:
        compressed: ``model.onnx`` as it is served, with its item table beside it where the
            graph does not hold it, and the weights it was made from.
        gpu: graph and engine of the gpu profile.
        uncompressed: weights that compression started from, for a later warm start.
    """

    compressed: Path
    gpu: Path
    uncompressed: Path

    def copy(self, version: Path, item_vectors: Path) -> None:
        """Write them into the version folder of the step ``ranker``.

        Args:
            item_vectors: where the item table goes, if the graph does not hold it.
        """
        for name in (MODEL, WEIGHTS, DESCRIPTION):
            shutil.copy2(self.compressed / name, version / name)
        table = table_of(self.compressed / MODEL)
        if table.is_file():
            shutil.copy2(table, item_vectors)
        shutil.copytree(self.gpu, version / "gpu")
        original = self.uncompressed / WEIGHTS
        if not filecmp.cmp(self.compressed / WEIGHTS, original, shallow=False):
            (version / UNCOMPRESSED).mkdir()
            for name in (WEIGHTS, DESCRIPTION):
                shutil.copy2(self.uncompressed / name, version / UNCOMPRESSED / name)


@dataclass(frozen=True)
class VisualFiles:
    """What makes a release take pictures.

    Attributes:
        folder: of the stage ``visual``.
    """

    folder: Path

    def copy(self, staging: Path) -> None:
        """Write them into the version folders of release 1."""
        shutil.copytree(self.folder / "preprocess", staging / PREPROCESS.name / "1" / "pipeline")
        encoder = staging / IMAGE_ENCODER.name / "1"
        shutil.copytree(self.folder / "encoder", encoder, dirs_exist_ok=True)
        for name in (VECTORS, INDEX):
            shutil.copy2(self.folder / name, staging / FEATURES.name / "1" / "tables")
        about = staging / RECOMMEND_VISUAL.name / "1"
        about.mkdir(parents=True)
        shutil.copy2(self.folder / PICTURES, about)
        for name in (SAMPLES, COVERS):
            if (self.folder / name).is_dir():
                shutil.copytree(self.folder / name, about / name)
        (staging / ENCODE_IMAGE.name / "1").mkdir(parents=True)
