"""Builds the image encoder, and encodes the catalogue's pictures with it.

Features of the backbone are taken once, from a sample; their principal components make the
projection. The encoder is compressed behind the gates that the ranker's passes have, and every
picture's vector comes from the graph that is served.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builders.export.gpu_forms import FLOAT32
from builders.export.gpu_graphs import GpuGraphs
from builders.export.verify import open_session
from builders.settings import Settings
from builders.stages import Log
from builders.visual.backbone import load_backbone
from builders.visual.encoder_graph import Encoder
from builders.visual.fitted import Compressed, compress, fit
from builders.visual.gpu_encoder import gpu_encoder
from builders.visual.pixels import open_preprocess, write_preprocess
from builders.visual.sample import Sample
from ensembles.contracts import PIXELS, VISUAL_VECTOR
from serving.engine.record import GRAPH

PREPROCESS, ENCODER, GPU = "preprocess", "encoder", "gpu"
"""Folders of the stage; the third is in the second."""
DESCRIPTION = "encoder.json"


@dataclass(frozen=True)
class EncoderBuild:
    """What was built.

    Attributes:
        vectors: float32 [N+1, V] by the graph that is served; zeros without a picture.
        about: what the encoder is, as ``encoder.json`` has it.
        pictures: that were encoded.
        unreadable: pictures that were not.
        variance_kept: by the projection, of the features' variance, 0 to 1.
        differences: between PyTorch and the float graph, by case.
        compressed: what INT8 did.
        gpu: graphs and engine of the gpu profile.
    """

    vectors: NDArray[np.float32]
    about: dict[str, Any]
    pictures: int
    unreadable: int
    variance_kept: float
    differences: dict[str, float]
    compressed: Compressed
    gpu: GpuGraphs

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        int8 = self.compressed.int8
        names = ("pictures", "unreadable", "variance_kept", "differences")
        return {
            **self.about,
            **{name: getattr(self, name) for name in names},
            **asdict(self.compressed),
            "served": "int8" if int8 and not int8.reason else FLOAT32,
            "gpu": self.gpu.to_json(),
        }

    def summary(self) -> str:
        """One line for a person."""
        about, single, int8 = self.about, self.compressed.single, self.compressed.int8
        line = (
            f"{self.pictures:,} pictures as vectors of {about['width']} by {about['backbone']}, "
            f"{self.variance_kept:.0%} of the variance kept; {single.before_ms:.1f} ms a picture"
        )
        if int8 is None:
            return line
        verdict = f"left out: {int8.reason}" if int8.reason else "kept"
        return (
            f"{line}, {single.after_ms:.1f} ms in INT8 (neighbours' NDCG@10 "
            f"{int8.quality.change:+.2%}), which is {verdict}"
        )


def build_encoder(
    pictures: Sequence[Path | None], settings: Settings, folder: Path, work: Path, log: Log
) -> EncoderBuild:
    """Write ``preprocess/`` and ``encoder/`` into ``folder``, and encode every picture.

    ``encoder/`` gets ``model.onnx`` and ``encoder.json`` as they are served, and ``gpu/``.

    Args:
        pictures: N+1 files by item number, None where there is none.
        work: folder for what is made on the way.

    Raises:
        SettingsError: ``visual.backbone`` or ``visual.weights`` names nothing that is known.
        MissingExtra: a package is not installed.
        BuildError: no picture can be read, the weights do not fit, or a graph cannot be made.
        VerificationError: the exported graph differs from PyTorch, or an engine from the graph.
    """
    visual = settings.visual
    backbone = load_backbone(visual)
    preprocess, encoder = folder / PREPROCESS, folder / ENCODER
    for made in (preprocess, encoder, encoder / GPU):
        made.mkdir()
    write_preprocess(preprocess, visual.size, backbone.mean, backbone.std)
    about = {
        "backbone": visual.backbone,
        "weights_sha256": backbone.weights_sha256,
        "size": visual.size,
        "width": visual.width,
    }
    (encoder / DESCRIPTION).write_text(json.dumps(about), encoding="utf-8")
    with closing(open_preprocess(preprocess)) as step, TemporaryDirectory(dir=work) as made_on_way:
        catalogue = Sample(step, pictures, log)
        module = Encoder(backbone, visual.width)
        fitted = fit(module, catalogue, settings, Path(made_on_way), log)
        compressed = compress(fitted, settings, encoder / GRAPH)
        gpu = gpu_encoder(fitted, settings, encoder / GPU, Path(made_on_way), log)
        vectors, encoded = _encode(encoder / GRAPH, catalogue, settings, log)
    return EncoderBuild(
        vectors=vectors,
        about=about,
        pictures=encoded,
        unreadable=len(catalogue) - encoded,
        variance_kept=fitted.kept,
        differences=fitted.differences,
        compressed=compressed,
        gpu=gpu,
    )


def _encode(
    graph: Path, catalogue: Sample, settings: Settings, log: Log
) -> tuple[NDArray[np.float32], int]:
    """Vectors [N+1, V], and how many pictures could be read."""
    session, encoded = open_session(graph, settings.train.threads), 0
    vectors = np.zeros((len(catalogue.files), settings.visual.width), np.float32)
    for numbers, pixels in catalogue.watched("encoding", log):
        (vectors[numbers],) = session.run([VISUAL_VECTOR.name], {PIXELS.name: pixels})
        encoded += len(numbers)
    return vectors, encoded
