"""Does shared memory gain anything for pictures? Alternating, one request at a time."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import pytest

from serving.client import Client, ProtocolName, Request
from serving.temporary import temporary_server

REPOSITORY = os.environ.get("MILLIRANK_BENCH_SHARED_MEMORY", "")
COUNT = 60


def jpeg(width: int, height: int) -> bytes:
    from PIL import Image

    coarse = np.random.default_rng(1).integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height)).save(file, "JPEG", quality=93)
    return file.getvalue()


@pytest.mark.skipif(not REPOSITORY, reason="make bench-shared")
def test_pictures_with_and_without_shared_memory() -> None:
    with temporary_server(Path(REPOSITORY)) as server:
        for size in ((200, 300), (2400, 1800)):
            for protocol in ("grpc", "http"):
                compare(
                    server.grpc if protocol == "grpc" else server.http,
                    protocol,  # type: ignore[arg-type]
                    server.token,
                    Request("42", image=jpeg(*size)),
                )


def compare(address: str, protocol: ProtocolName, token: str, request: Request) -> None:
    assert isinstance(request.image, bytes)
    with (
        Client(address, protocol) as plain,
        Client(address, protocol, shared_memory=True, token=token) as shared,
    ):
        ms: tuple[list[float], list[float]] = ([], [])
        for turn in range(COUNT + 10):
            for which in (0, 1) if turn % 2 else (1, 0):
                start = time.perf_counter()
                (plain, shared)[which].recommend(request)
                if turn >= 10:  # the first ones warm up
                    ms[which].append((time.perf_counter() - start) * 1000)
    low, _, high = quantiles([a / b for a, b in zip(*ms, strict=True)], n=4)
    print(
        f"\n{len(request.image):,} bytes {protocol}: sent along {median(ms[0]):.2f} ms, "
        f"shared memory {median(ms[1]):.2f} ms, ratio {median(ms[0]) / median(ms[1]):.3f} "
        f"(quartiles of pairs {low:.2f} to {high:.2f})"
    )
