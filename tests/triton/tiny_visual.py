"""Pictures for the tiny release: every item is four coloured squares, and so is its vector."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ensembles.step_code import load_step

SIZE = 32
SQUARES = 2
"""Squares along an edge; a vector holds the mean colour of each, channel by channel."""
MEAN, STD = (127.5,) * 3, (127.5,) * 3


def colours(items: int, seed: int = 5) -> NDArray[np.uint8]:
    """Colours of the squares of items 1..N: uint8 [N, SQUARES, SQUARES, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (items, SQUARES, SQUARES, 3), dtype=np.uint8)


def picture(squares: NDArray[np.uint8], edge: int = SIZE) -> bytes:
    """A PNG of ``edge`` rows and columns."""
    from PIL import Image

    side = edge // SQUARES
    file = io.BytesIO()
    Image.fromarray(squares.repeat(side, axis=0).repeat(side, axis=1)).save(file, "PNG")
    return file.getvalue()


def vectors(squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the tiny encoder makes of pictures [N, SQUARES, SQUARES, 3]: float32 [N, V]."""
    means = (squares.astype(np.float64) - MEAN[0]) / STD[0]
    flat = means.transpose(0, 3, 1, 2).reshape(len(squares), -1)
    return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True), np.float32)


def make_encoder(file: Path) -> None:
    """An ONNX graph: mean of each square, then length 1."""
    import onnx
    from onnx import TensorProto, helper

    side = SIZE // SQUARES
    nodes = [
        helper.make_node(
            "AveragePool", ["pixels"], ["means"], kernel_shape=[side, side], strides=[side, side]
        ),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("LpNormalization", ["flat"], ["visual_vector"], axis=1, p=2),
    ]
    taken = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])
    width = 3 * SQUARES**2
    given = helper.make_tensor_value_info("visual_vector", TensorProto.FLOAT, ["batch", width])
    graph = helper.make_graph(nodes, "tiny_encoder", [taken], [given])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, file)


def write_visual_files(
    repository: Path, release: int, pictured: Sequence[int] = range(1, 41), items: int = 50
) -> None:
    """What the visual steps of a release load, and samples; the other items have no picture."""
    import faiss

    version = repository / "preprocess" / str(release)
    (version / "pipeline").mkdir()
    load_step(version).write_pipelines(version / "pipeline", SIZE, MEAN, STD)
    encoder = repository / "image_encoder" / str(release)
    make_encoder(encoder / "model.onnx")
    (encoder / "encoder.json").write_text(json.dumps({"size": SIZE, "width": 3 * SQUARES**2}))
    table = np.zeros((items + 1, 3 * SQUARES**2), np.float32)
    numbers = np.array(pictured)
    squares = colours(items)
    table[numbers] = vectors(squares[numbers - 1])
    tables = repository / "features" / str(release) / "tables"
    np.save(tables / "visual_vectors.npy", table)
    index = faiss.IndexIDMap(faiss.IndexFlatIP(table.shape[1]))
    index.add_with_ids(table[numbers], numbers)
    faiss.write_index(index, str(tables / "visual.faiss"))
    about = repository / "recommend_visual" / str(release)
    (about / "samples").mkdir(parents=True)
    for number in numbers[:4]:
        (about / "samples" / f"{number}.png").write_bytes(picture(squares[number - 1]))
    (repository / "encode_image" / str(release)).mkdir(parents=True)
