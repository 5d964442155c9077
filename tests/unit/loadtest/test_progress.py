from __future__ import annotations

import io
import json
import mmap
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from loadtest.memory import by_process, first_and_last, server_memory
from loadtest.progress import Progress, read_progress, shown
from loadtest.run import play
from loadtest.scenario import Phase, Scenario
from loadtest.watch import Watch
from serving.ports import Ports
from tests.unit.loadtest.triton_stub import TritonStub


@given(st.lists(st.floats(1, 1e4), min_size=2, max_size=300), st.floats(1.01, 3))
def test_growth_is_what_the_tenths_grew_by(mb: list[float], factor: float) -> None:
    first, last = first_and_last(tuple((float(i), value) for i, value in enumerate([50.0] * 40)))
    assert (first, last) == (50.0, 50.0)
    ends = (*[(0.0, mb[0])] * len(mb), *[(1.0, v) for v in mb], *[(2.0, mb[0] * factor)] * len(mb))
    first, last = first_and_last(ends)
    assert last / first == pytest.approx(factor)


def test_one_large_sample_at_the_end_is_no_growth() -> None:
    samples = tuple((float(i), 100.0 if i < 99 else 900.0) for i in range(100))
    assert first_and_last(samples) == (100.0, 100.0)


def test_processes_seen_once_are_left_out() -> None:
    seen = [(0.0, {"a": 1.0, "b": 5.0}), (1.0, {"a": 2.0}), (2.0, {"a": 3.0})]
    assert by_process(seen) == {"a": ((0.0, 1.0), (1.0, 2.0), (2.0, 3.0))}


def test_the_memory_of_a_process() -> None:
    me = psutil.Process()
    found = server_memory(me.pid)
    assert found[f"{me.name()} {me.pid}"] > 1
    assert server_memory(2**22 - 1) == {}


def test_memory_that_a_process_takes_is_seen_and_a_file_that_it_maps_is_not(tmp_path: Path) -> None:
    me = psutil.Process()
    name = f"{me.name()} {me.pid}"
    file = tmp_path / "large"
    file.write_bytes(bytes(50_000_000))
    before = server_memory(me.pid)[name]
    mapped = np.memmap(file, np.uint8, "r")
    assert int(mapped.sum()) == 0
    assert server_memory(me.pid)[name] - before < 10
    # A mapping of its own: an allocator may hand out memory that the process had before.
    before = server_memory(me.pid)[name]
    with mmap.mmap(-1, 50_000_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
        np.frombuffer(taken, np.uint8)[:] = 1
        assert server_memory(me.pid)[name] - before == pytest.approx(50, abs=10)


def write(file: Path, begun: float, seconds: float) -> None:
    file.write_text(json.dumps({"begun": begun, "seconds": seconds, "answered": 9, "errors": 1}))


def test_only_the_measured_time_counts(tmp_path: Path) -> None:
    file, told, sampled = tmp_path / "progress.json", [], Counter[int]()

    def sample(pid: int) -> dict[str, float]:
        sampled[pid] += 1
        if sampled[pid] == 2:
            write(file, time.monotonic(), 0.0)
        if sampled[pid] == 4:
            write(file, read_begun(file), time.monotonic() - read_begun(file))
        return {"server": float(sampled[pid])}

    with Watch(7, file, 0.0, told.append, sample) as watch:
        watch._tick = 0.01
        deadline = time.monotonic() + 20
        while sampled[7] < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
    values = [mb for _, mb in watch.memory()["server"]]
    assert values[0] >= 2.0  # nothing of before the first measured moment
    assert values[-1] <= 4.0  # and nothing of after the last
    assert [p.answered for p in told] == [9] * len(told)
    assert len(told) == 2


def read_begun(file: Path) -> float:
    found = read_progress(file)
    assert found is not None
    return found.begun


def test_without_progress_there_is_no_memory(tmp_path: Path) -> None:
    with Watch(0, tmp_path / "nothing.json", 1.0) as watch:
        pass
    assert watch.memory() == {}
    assert read_progress(tmp_path / "nothing.json") is None


def test_sparse_lines_without_a_terminal() -> None:
    console = Console(file=io.StringIO(), width=80)
    with shown(console, 600.0) as tell:
        for second in range(600):
            tell(Progress(0.0, float(second), 220 * second, 3))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert 9 <= len(lines) <= 11
    assert lines[0] == "60 of 600 s, 13,203 requests, 3 errors"


def test_a_bar_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with shown(console, 10.0) as tell:
        tell(Progress(0.0, 5.0, 1000, 0))
    assert "5 of 10 s, 1,000 requests" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_run_tells_how_far_it_is(triton_stub: TritonStub, release: Path) -> None:
    told: list[Progress] = []
    phases = (Phase(seconds=1.5, rate=40),)
    scenario = Scenario(about="", phases=phases, arrivals="constant", grpc=0, warm_up_seconds=0.3)
    found = play(
        "test",
        scenario,
        Ports(http=triton_stub.port),
        release,
        server_pid=psutil.Process().pid,
        tell=told.append,
    )
    assert len(told) >= 2
    assert told[-1].answered == len(found.latency_ms) == 60
    assert told[-1].errors == 0
    assert [p.seconds for p in told] == sorted(p.seconds for p in told)
    # This process stands for the server's.
    name = f"{psutil.Process().name()} {psutil.Process().pid}"
    samples = found.memory_samples[name]
    assert all(0 <= second <= told[-1].seconds for second, _ in samples)
    assert found.memory_mb[name] == first_and_last(samples)
