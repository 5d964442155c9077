"""Photos of products: what the encoder calls alike is alike, and served equals offline.

Some photos in the suite, through the float graph; all of them with ``MILLIRANK_FASHION=all``.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from builders.settings import Settings
from builders.visual.encoder import EncoderBuild, build_encoder
from ensembles.contracts import IMAGE, VISUAL_VECTOR
from ensembles.profiles import Knobs
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.real_data import real_data
from tests.triton.tiny import make_release

ALL = os.environ.get("MILLIRANK_FASHION") == "all"
TYPES, OF_EACH = 8, 18
"""In the suite: so many photos of each of the most common article types."""
SERVED = 60
ROWS = (1, 1, 3, 16)
"""Rows of the requests, in turn."""
QUICK = {
    "compress": {"rounds": 10, "batch": 4},
    "train": {"threads": 1},
    "visual": {"quantise": False},
}


@dataclass(frozen=True)
class Fashion:
    """The encoder of some photos, numbered from 1."""

    folder: Path
    files: list[Path]
    types: NDArray[np.str_]
    settings: Settings
    found: EncoderBuild


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Fashion:
    data, root = real_data("fashion"), tmp_path_factory.mktemp("fashion")
    with (data / "items.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not ALL:
        common = Counter(row["articleType"] for row in rows).most_common(TYPES)
        rows = [
            r for name, _ in common for r in [r for r in rows if r["articleType"] == name][:OF_EACH]
        ]
    files = [data / "images" / f"{row['id']}.jpg" for row in rows]
    raw = {"name": "fashion", "data": {"format": "csv"}, **({} if ALL else QUICK)}
    settings = Settings.parse(raw, origin="fashion")
    (root / "work").mkdir()
    found = build_encoder([None, *files], settings, root, root / "work", print)
    print(found.summary())
    print(found.gpu.summary())
    return Fashion(root, files, np.array([row["articleType"] for row in rows]), settings, found)


def shared_type(vectors: NDArray[np.float32], types: NDArray[np.str_]) -> float:
    """Share of the ten nearest, by cosine, that are of the same article type."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1)[:, :10]
    return float((types[nearest] == types[:, None]).mean())


def averages(file: Path) -> NDArray[np.float32]:
    """Pixel averages of 16 by 16 fields."""
    from PIL import Image

    with Image.open(file) as picture:
        small = picture.convert("RGB").resize((16, 16), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel()


def test_neighbours_share_their_article_type(fashion: Fashion) -> None:
    share = shared_type(fashion.found.vectors[1:], fashion.types)
    plain = np.stack([averages(file) for file in fashion.files])
    pixels = max(shared_type(p, fashion.types) for p in (plain, plain - plain.mean(axis=0)))
    print(
        f"\n{len(fashion.files):,} photos of {len(set(fashion.types))} article types: "
        f"{share:.1%} of the ten nearest are of the same type, by pixel averages {pixels:.1%}"
    )
    assert share >= 0.6
    assert share > pixels


@pytest.fixture(scope="module")
def server(fashion: Fashion, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """The tiny release, with the encoder of the photos in place of its own."""
    root = tmp_path_factory.mktemp("served")
    tiny = make_release(root, knobs=Knobs(instances=1), visual=True)
    pipeline = tiny.repository / "preprocess" / "1" / "pipeline"
    shutil.rmtree(pipeline)
    shutil.copytree(fashion.folder / "preprocess", pipeline)
    encoder = fashion.folder / "encoder"
    shutil.copytree(encoder, tiny.repository / "image_encoder" / "1", dirs_exist_ok=True)
    with TritonServer(tiny.repository, ServerOptions(ports=Ports(0, 0, 0))) as running:
        yield running


def test_served_equals_offline(fashion: Fashion, server: TritonServer) -> None:
    served = _served(server, fashion.files[:SERVED])
    offline = fashion.found.vectors[1 : len(served) + 1]
    largest = float(np.abs(served - offline).max())
    print(f"\n{len(served)} photos served: largest difference of an element {largest:.1e}")
    np.testing.assert_allclose(np.linalg.norm(served, axis=1), 1, atol=1e-5)
    assert largest <= fashion.settings.visual.tolerance


def _served(server: TritonServer, files: list[Path]) -> NDArray[np.float32]:
    """Vectors of the files, in requests of several numbers of rows."""
    import tritonclient.grpc as triton

    found, start, turn = list[NDArray[np.float32]](), 0, 0
    with triton.InferenceServerClient(server.grpc) as client:
        while start < len(files):
            part = files[start : start + ROWS[turn % len(ROWS)]]
            images = [np.fromfile(file, np.uint8) for file in part]
            filled = np.zeros((len(part), max(map(len, images))), np.uint8)
            for row, image in zip(filled, images, strict=True):
                row[: len(image)] = image
            tensor = triton.InferInput(IMAGE.name, filled.shape, "UINT8")
            tensor.set_data_from_numpy(filled)
            found.append(client.infer("encode_image", [tensor]).as_numpy(VISUAL_VECTOR.name))
            start, turn = start + len(part), turn + 1
    return np.concatenate(found)
