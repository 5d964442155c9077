"""Broken pictures under load: each gets its own error, and every good one its own pixels."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from builders.visual.pixels import open_preprocess, write_preprocess
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.damaged_images import Damaged, damaged, whole
from tests.real_data import find_data
from tests.triton.tiny import SOURCE

COUNT = int(os.environ.get("MILLIRANK_DAMAGED_IMAGES", "60"))
CLIENTS = 8
SIZE = 64

Image = NDArray[np.uint8]
Pixels = NDArray[np.float32]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the preprocess step alone."""
    folder = tmp_path_factory.mktemp("repository")
    model = folder / "preprocess"
    shutil.copytree(SOURCE / "preprocess" / "1", model / "1")
    shutil.copy(SOURCE / "preprocess" / "config.pbtxt", model)
    write_preprocess(model / "1" / "pipeline", SIZE, (120.0, 115.0, 100.0), (60.0, 58.0, 57.0))
    return folder


@pytest.fixture(scope="module")
def good(repository: Path) -> list[tuple[Image, Pixels]]:
    """Good pictures, real ones where they are, and their pixels computed here."""
    pictures = [np.frombuffer(p, np.uint8) for p in whole(48, find_data("posters"))]
    preprocess = open_preprocess(repository / "preprocess" / "1" / "pipeline")
    pixels = preprocess.pixels(pictures)
    return [(i, p) for i, p in zip(pictures, pixels, strict=True) if isinstance(p, np.ndarray)]


@pytest.fixture(scope="module")
def broken(good: list[tuple[Image, Pixels]]) -> list[Damaged]:
    return list(damaged(COUNT, [image.tobytes() for image, _ in good]))


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    log = tmp_path_factory.mktemp("log") / "server.log"
    with TritonServer(repository, ServerOptions(ports=Ports(0, 0, 0), log=log)) as running:
        yield running


@pytest.fixture
def client(server: TritonServer) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.grpc) as connected:
        yield connected


def ask(client: triton.InferenceServerClient, *rows: Image) -> Pixels | InferenceServerException:
    """Pixels [rows, 3, SIZE, SIZE] of pictures, filled up with zero bytes, or the error."""
    batch = np.zeros((len(rows), max(map(len, rows))), np.uint8)
    for place, row in enumerate(rows):
        batch[place, : len(row)] = row
    tensor = triton.InferInput("image", list(batch.shape), "UINT8")
    tensor.set_data_from_numpy(batch)
    try:
        found = client.infer("preprocess", [tensor], client_timeout=120).as_numpy("pixels")
    except InferenceServerException as e:
        return e
    assert found is not None
    return np.asarray(found, np.float32)


def check(file: Damaged, answer: Pixels | InferenceServerException) -> None:
    """A sentence that blames the picture or, where a decoder may cope, finite pixels."""
    if isinstance(answer, InferenceServerException):
        assert answer.status() == "StatusCode.INVALID_ARGUMENT", (file.name, answer)
        assert "image: expected" in str(answer.message()), (file.name, answer)
    else:
        assert not file.refused, file.name
        assert answer.shape == (1, 3, SIZE, SIZE)
        assert np.isfinite(answer).all(), file.name


def resident(server: TritonServer) -> int:
    """Bytes in memory of the server and its Python steps."""
    process = psutil.Process(server.pid)
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True)))


def test_alone(
    server: TritonServer,
    client: triton.InferenceServerClient,
    good: list[tuple[Image, Pixels]],
    broken: list[Damaged],
) -> None:
    for place, file in enumerate(broken):
        check(file, ask(client, np.frombuffer(file.data, np.uint8)))
        image, pixels = good[place % len(good)]
        np.testing.assert_array_equal(ask(client, image), [pixels], err_msg=f"after {file.name}")
    assert server.ready()


def test_under_load(
    server: TritonServer, good: list[tuple[Image, Pixels]], broken: list[Damaged]
) -> None:
    jobs: list[Damaged | int] = [*broken, *(n % len(good) for n in range(2 * len(broken)))]
    random.Random(5).shuffle(jobs)

    def work(start: int) -> int:
        """Every ``CLIENTS``-th job, over a connection of one's own; good ones answered."""
        answered = 0
        with triton.InferenceServerClient(server.grpc) as client:
            for job in jobs[start::CLIENTS]:
                if isinstance(job, Damaged):
                    check(job, ask(client, np.frombuffer(job.data, np.uint8)))
                else:
                    np.testing.assert_array_equal(ask(client, good[job][0]), [good[job][1]])
                    answered += 1
        return answered

    def round_of_load() -> int:
        with ThreadPoolExecutor(CLIENTS) as clients:
            assert sum(clients.map(work, range(CLIENTS))) == 2 * len(broken)
        assert server.ready()
        return resident(server)

    round_of_load()  # fills buffers and pools
    before, after = round_of_load(), round_of_load()
    print(f"\n{len(broken)} damaged among {len(jobs)} pictures a round; resident memory ", end="")
    print(f"{before / 1e6:.1f} MB before the last round, {after / 1e6:.1f} MB after it")
    assert after - before < 16e6
    with triton.InferenceServerClient(server.grpc) as client:
        (model,) = client.get_inference_statistics("preprocess", as_json=True)["model_stats"]
    # Requests did share batches.
    assert int(model["execution_count"]) < int(model["inference_count"])


def test_a_bad_row_is_named(
    client: triton.InferenceServerClient, good: list[tuple[Image, Pixels]]
) -> None:
    (one, one_pixels), (two, two_pixels) = good[:2]
    np.testing.assert_array_equal(ask(client, one, two), [one_pixels, two_pixels])
    answer = ask(client, one, two[: len(two) // 2], one)
    assert "image: row 2 of 3: expected a whole" in str(answer)


def test_a_request_without_a_picture(client: triton.InferenceServerClient) -> None:
    user = triton.InferInput("user_id", [1, 1], "BYTES")
    user.set_data_from_numpy(np.array([[b"user-2"]], object))
    with pytest.raises(InferenceServerException, match="image: expected one encoded JPEG"):
        client.infer("preprocess", [user])
