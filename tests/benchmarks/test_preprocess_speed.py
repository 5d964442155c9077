"""Pictures a second: the preprocess step, and a loop of Pillow and numpy, on the same cores.

Set MILLIRANK_BENCH_PICTURES to a folder of JPEG files, and run pytest with ``-s``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.visual.pixels import open_preprocess, write_preprocess
from tests.benchmarks import pillow_loop
from tests.benchmarks.pillow_loop import MEAN, SIZE, STD

FOLDER = os.environ.get("MILLIRANK_BENCH_PICTURES", "")
ROUNDS = 5
pytestmark = pytest.mark.skipif(not FOLDER, reason="MILLIRANK_BENCH_PICTURES names no folder")


@pytest.fixture(scope="module")
def files() -> list[bytes]:
    return [f.read_bytes() for f in sorted(Path(FOLDER).glob("*.jpg"))[:320]]


@pytest.fixture(params=[1, 2])
def cores(request: pytest.FixtureRequest) -> Iterator[int]:
    """This process and those that it starts have so many cores."""
    before = os.sched_getaffinity(0)
    if len(before) < request.param:
        pytest.skip(f"there are {len(before)} cores")
    os.sched_setaffinity(0, set(sorted(before)[: request.param]))
    yield request.param
    os.sched_setaffinity(0, before)


def alternate(runs: dict[str, Callable[[], object]], pictures: int) -> dict[str, float]:
    """Pictures a second of each, in the fastest of some rounds in which they take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: pictures / min(taken) for name, taken in seconds.items()}


def test_throughput(files: list[bytes], cores: int, tmp_path: Path) -> None:
    write_preprocess(tmp_path, SIZE, MEAN, STD)
    step = open_preprocess(tmp_path, threads=cores)
    arrays = [np.frombuffer(f, np.uint8) for f in files]

    def run_step() -> None:
        for start in range(0, len(arrays), 32):
            step.pixels(arrays[start : start + 32])

    parts = [slice(n, None, cores) for n in range(cores)]
    start_fresh = get_context("spawn")
    with ProcessPoolExecutor(cores, start_fresh, pillow_loop.hold, (files,)) as pool:

        def run_pillow(draft: bool) -> Callable[[], Any]:
            return lambda: list(pool.map(pillow_loop.work, parts, [draft] * cores))

        rates = alternate(
            {"step": run_step, "Pillow": run_pillow(False), "Pillow draft": run_pillow(True)},
            len(files),
        )
    print(f"\n{cores} core(s), {len(files)} pictures of {Path(FOLDER).name}: ", end="")
    print(", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items()), end="; ")
    print(f"step / Pillow {rates['step'] / rates['Pillow']:.2f}")


def test_latency_of_one(files: list[bytes], tmp_path: Path) -> None:
    write_preprocess(tmp_path, SIZE, MEAN, STD)
    step = open_preprocess(tmp_path)
    arrays = [np.frombuffer(f, np.uint8) for f in files]
    rates = alternate(
        {
            "step": lambda: [step.pixels([a]) for a in arrays],
            "Pillow": lambda: [pillow_loop.pixels([f]) for f in files],
        },
        len(files),
    )
    print("\none picture a call: ", end="")
    print(", ".join(f"{name} {1000 / rate:.2f} ms" for name, rate in rates.items()))


def test_both_see_the_same(files: list[bytes], tmp_path: Path) -> None:
    write_preprocess(tmp_path, SIZE, MEAN, STD)
    found = open_preprocess(tmp_path).pixels([np.frombuffer(f, np.uint8) for f in files[:32]])
    expected = pillow_loop.pixels(files[:32])
    assert np.abs(np.stack([np.asarray(f) for f in found]) - expected).mean() < 0.03
