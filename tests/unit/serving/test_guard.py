"""The guard, around small programs instead of a server."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from serving import guard

SLEEP = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
FAMILY = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextmanager
def guarded(
    program: str, tmp_path: Path, grace: float = 5, prefix: str = "millirank_test_none"
) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A guard around a Python program, and the program's process."""
    words = [str(psutil.Process().pid), str(grace), prefix, str(tmp_path / "staging")]
    command = [sys.executable, "-I", guard.__file__, *words, sys.executable, "-c", program]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as runner,
    ):
        assert runner.stdout
        child = psutil.Process(int(runner.stdout.readline()))
        yield runner, child
        if runner.poll() is None:
            runner.terminate()


@pytest.mark.parametrize("status", [0, 3])
def test_status_is_that_of_the_command(tmp_path: Path, status: int) -> None:
    with guarded(f"import time; time.sleep(.2); raise SystemExit({status})", tmp_path) as (
        runner,
        _,
    ):
        assert runner.wait(20) == status


def test_sigterm_ends_the_whole_group(tmp_path: Path) -> None:
    with guarded(FAMILY, tmp_path) as (runner, child):
        wait_for(child.children)
        (grandchild,) = child.children()
        runner.terminate()
        assert runner.wait(20) == 128 + signal.SIGTERM
        assert not child.is_running()
        assert not grandchild.is_running()


def test_deaf_command_is_killed_after_its_grace(tmp_path: Path) -> None:
    with guarded(STUBBORN, tmp_path, grace=0.3) as (runner, child):
        time.sleep(0.3)
        runner.terminate()
        assert runner.wait(20) == 128 + signal.SIGKILL
        assert not child.is_running()


def test_crash_is_told(tmp_path: Path) -> None:
    with guarded(SLEEP, tmp_path) as (runner, child):
        child.send_signal(signal.SIGSEGV)
        assert runner.wait(20) == 128 + signal.SIGSEGV
    assert "guard: the server was ended by SIGSEGV" in (tmp_path / "log").read_text()


def test_lost_backend_process_ends_the_server(tmp_path: Path) -> None:
    with guarded(FAMILY, tmp_path) as (runner, child):
        wait_for(child.children)
        (grandchild,) = child.children()
        grandchild.kill()
        assert runner.wait(20) == 128 + signal.SIGTERM
    assert f"guard: backend process {grandchild.pid} died" in (tmp_path / "log").read_text()


def test_shared_memory_is_removed(tmp_path: Path) -> None:
    prefix = f"millirank_test_{secrets.token_hex(4)}_"
    region, other = Path("/dev/shm", f"{prefix}region"), Path("/dev/shm", f"other_{prefix}")
    try:
        region.touch()
        other.touch()
        with guarded(SLEEP, tmp_path, prefix=prefix) as (runner, _):
            runner.terminate()
            runner.wait(20)
        assert not region.exists()
        assert other.exists()
    finally:
        other.unlink()


def test_end_of_the_owner_is_the_end_of_all(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    words = [guard.__file__, "5", "millirank_test_none", str(tmp_path / "staging")]
    program = (
        "import os, subprocess, sys\n"
        f"script, *words = {words!r}\n"
        "command = [sys.executable, '-I', script, str(os.getpid()), *words]\n"
        f"command += [sys.executable, '-c', {SLEEP!r}]\n"
        "p = subprocess.Popen(command, stdout=subprocess.PIPE)\n"
        "print(p.pid, int(p.stdout.readline()), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    owner = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False
    )
    pids = [int(pid) for pid in owner.stdout.split()]
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    wait_for(lambda: not (tmp_path / "staging").exists())
