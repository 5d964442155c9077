"""From a backbone and a projection to one ONNX file: pixels → vector of length 1."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper
from torch import Tensor, nn

from builders.export.torch2onnx import write_graph
from builders.export.verify import check_differences, open_session
from builders.settings import Export
from builders.visual.backbone import Backbone
from builders.visual.projection import Projection
from ensembles.contracts import MAX_BATCH, PIXELS, VISUAL_VECTOR

FEATURES = "features"
"""What the backbone gives; an output until the projection is known."""
BATCHES = (1, 3, 16)

_CENTRE, _AXES = "centre", "axes"
_SHORTEST = 1e-12


class Encoder(nn.Module):
    """Pixels float32 [B, 3, S, S] → vectors float32 [B, V] of length 1, and features [B, F].

    ``centre`` and ``axes`` are stand-ins until ``project`` is called.
    """

    centre: Tensor
    axes: Tensor

    def __init__(self, backbone: Backbone, width: int) -> None:
        super().__init__()
        self.backbone = backbone.module
        # No zeros, which an exporter may leave out, and nothing that the backbone holds, too, as
        # ones: of equal tensors one is kept.
        distinct = torch.arange(1.0, 1 + backbone.features)
        self.register_buffer(_CENTRE, distinct)
        self.register_buffer(_AXES, distinct[:, None].repeat(1, width))

    def project(self, projection: Projection) -> None:
        """Take the principal components over."""
        self.centre.copy_(torch.from_numpy(projection.centre))
        self.axes.copy_(torch.from_numpy(projection.axes))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(pixels)
        vector = (features - self.centre) @ self.axes
        length = vector.norm(dim=1, keepdim=True).clamp_min(_SHORTEST)
        return vector / length, features


def export_encoder(encoder: Encoder, size: int, target: Path, settings: Export) -> None:
    """Write ``target``: ``pixels`` [batch, 3, size, size] → ``visual_vector``, ``features``.

    Raises:
        BuildError: PyTorch cannot export the backbone.
    """
    write_graph(
        encoder.eval(),
        {PIXELS.name: torch.zeros(2, 3, size, size)},
        ({0: torch.export.Dim("batch", min=1, max=MAX_BATCH)},),
        (VISUAL_VECTOR.name, FEATURES),
        target,
        settings.opset,
    )


def project_graph(source: Path, projection: Projection, target: Path) -> None:
    """Write an exported graph with its projection, and with the vector as its only output."""
    model = onnx.load(source)
    values = {_CENTRE: projection.centre, _AXES: projection.axes}
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values.pop(tensor.name), tensor.name))
    assert not values, f"the exporter renamed {list(values)}"
    del model.graph.output[1:]
    onnx.save(model, target)


def after_backbone(model: ModelProto) -> list[str]:
    """Names of the nodes that follow ``features``: they stay in float32."""
    reached, found = {FEATURES}, []
    for node in model.graph.node:
        if reached.intersection(node.input):
            reached.update(node.output)
            found.append(node.name)
    return found


@torch.no_grad()
def verify_encoder(
    encoder: Encoder, graph: Path, pixels: NDArray[np.float32], settings: Export
) -> dict[str, float]:
    """Largest absolute difference of a vector's element between PyTorch and ONNX Runtime.

    Args:
        pixels: [B, 3, S, S] of real pictures; repeated to fill the largest batch.

    Raises:
        VerificationError: a difference is beyond ``settings.tolerance``, or no number.
        BuildError: ONNX Runtime cannot load the graph.
    """
    session, found = open_session(graph), dict[str, float]()
    for batch in BATCHES:
        rows = pixels[np.arange(batch) % len(pixels)]
        expected = encoder(torch.from_numpy(rows))[0].numpy()
        (served,) = session.run([VISUAL_VECTOR.name], {PIXELS.name: rows})
        found[f"batch {batch}"] = float(np.abs(expected - served).max())
    check_differences(graph, found, settings)
    return found


def run_graph(
    graph: Path,
    batches: Iterable[NDArray[np.float32]],
    output: str = VISUAL_VECTOR.name,
    *,
    threads: int = 0,
) -> NDArray[np.float32]:
    """An output for all pixels, float32 [M, V], by ONNX Runtime; 0 threads are all cores."""
    session = open_session(graph, threads)
    width = {tensor.name: tensor.shape[-1] for tensor in session.get_outputs()}[output]
    found = [session.run([output], {PIXELS.name: pixels})[0] for pixels in batches]
    return np.concatenate([np.zeros((0, width), np.float32), *found])
