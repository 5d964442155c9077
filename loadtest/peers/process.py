"""A peer's server as a context manager, and the processor time of a tree of processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ensembles.errors import RequestError, ServerError
from loadtest.peers.ask import ask
from loadtest.peers.chain import REPOSITORY_VARIABLE
from loadtest.peers.peer import Peer
from serving.messages import Request
from serving.ports import Ports

_ROOT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0


@contextlib.contextmanager
def running(peer: Peer, python: Path, repository: Path, log: Path) -> Iterator[tuple[int, int]]:
    """Start a peer, wait for its first answer, and stop it with everything that it started.

    Yields:
        The process and its port.

    Raises:
        ServerError: it ended or did not answer in time; the message holds its last words.
    """
    port = Ports(0, 0, 0).settle("127.0.0.1").http
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), *(part.format(port=port) for part in peer.arguments)],
            cwd=log.parent,
            env=_variables(peer, python, repository),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_ready(peer, process, port, log)
            yield process.pid, port
        finally:
            stop_tree(process)


def _variables(peer: Peer, python: Path, repository: Path) -> dict[str, str]:
    common = {
        "PATH": f"{python.parent}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        REPOSITORY_VARIABLE: str(repository.resolve()),
        # As under Triton: processes are the parallelism, threads that spin take their cores.
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    }
    return {**os.environ, **common, **dict(peer.variables)}


def _wait_until_ready(peer: Peer, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    last: Exception | None = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            ask(port, peer.form, Request("nobody"))
        except RequestError as e:
            last = e
            time.sleep(0.2)
        else:
            return
    how = f"ended with {process.returncode}" if process.poll() is not None else "did not answer"
    words = log.read_text(errors="replace").strip().splitlines()[-3:]
    raise ServerError(f"{peer.name} {how} ({last}): {' | '.join(words) or 'it wrote nothing'}")


def stop_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process and all its descendants; those that do not end when asked are killed."""
    import psutil

    try:
        tree = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        tree = []
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    _, left = psutil.wait_procs(tree, timeout=2)
    for other in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            other.kill()
    psutil.wait_procs(left, timeout=2)
    if process.poll() is None:
        process.kill()
        process.wait()


def tree_seconds(pid: int) -> float:
    """Processor time of a process and its descendants so far, in seconds."""
    import psutil

    root = psutil.Process(pid)
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total
