"""Runs one command so that it cannot outlive its owner; a script, standard library only.

``python -I guard.py OWNER_PID GRACE_SECONDS SHM_PREFIX STAGING_FOLDER COMMAND...``

The guard stands between the owner and tritonserver. When the owner is gone, however it died, or
when the guard gets SIGTERM, it ends the server and every process of its group, and removes the
shared memory that a killed server leaves in /dev/shm, and the folder of an owner that is gone.
PR_SET_PDEATHSIG in the server alone would not do: it fires when the *thread* that started the
server ends, and cleans nothing up.

It also ends a server that has lost a backend process: tritonserver 2.51 never starts one again,
fails every request that goes to it, and still calls itself ready. The processes of a model that is
unloaded end with status 0, and the server may take seconds to notice.

Its first line of output is the process id of the command, whose own output goes to the guard's
standard error. Exit status: that of the command; 128 + signal when a signal ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
_CHECK_SECONDS = 0.5
_BROKEN_GRACE_SECONDS = 2.0
"""A server without one of its backend processes does not end by itself in time."""


def run(owner: int, grace: float, shm_prefix: str, staging: Path, command: list[str]) -> int:
    """Start ``command``, wait for its end or its owner's, clean up; the exit status."""
    libc = ctypes.CDLL(None, use_errno=True)
    # Orphans of the server come to the guard, which reaps them; PID 1 of a container may not.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    # This process has one thread, so running Python between fork and exec is safe.
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        process_group=0,
        preexec_fn=in_child,  # noqa: PLW1509
    )
    print(child.pid, flush=True)
    try:
        broken = _wait_for_reason_to_stop(child, owner)
        _end(child, _BROKEN_GRACE_SECONDS if broken else grace)
    finally:
        _kill_group(child.pid)
        remove_shared_memory(shm_prefix)
        if os.getppid() != owner:
            shutil.rmtree(staging, ignore_errors=True)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _wait_for_reason_to_stop(child: subprocess.Popen[bytes], owner: int) -> bool:
    """Return at the end of the child or its owner or at a signal; True when the child is broken."""
    dead: set[int] = set()
    while child.poll() is None and os.getppid() == owner:
        received = signal.sigtimedwait(_SIGNALS, _CHECK_SECONDS)
        if received and received.si_signo != signal.SIGCHLD:
            return False
        # One that failed and is still a zombie at the next look was not meant to end.
        before, dead = dead, set() if received else _failed_children(child.pid)
        if lost := dead & before:
            print(f"guard: backend process {min(lost)} died; ending the server", file=sys.stderr)
            return True
    if child.returncode is not None and child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        print(f"guard: the server was ended by {name}", file=sys.stderr)
    return False


def _failed_children(parent: int) -> set[int]:
    """Children that are dead, not reaped, and ended by a signal or a status that is not 0.

    None where the kernel does not tell.
    """
    failed = set()
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # threads and children come and go
            for child in task.read_text().split():
                # "pid (command) state ... exit code", where the command may hold anything.
                text = Path(f"/proc/{child}/stat").read_text(errors="replace")
                state, *_, status = text.rpartition(")")[2].split()
                if state == "Z" and status != "0":
                    failed.add(int(child))
    return failed


def _end(child: subprocess.Popen[bytes], grace: float) -> None:
    """SIGTERM, which lets requests in flight finish; SIGKILL after ``grace`` seconds."""
    child.terminate()
    deadline = time.monotonic() + grace
    while child.poll() is None and time.monotonic() < deadline:
        signal.sigtimedwait({signal.SIGCHLD}, max(0.0, deadline - time.monotonic()))
    if child.poll() is None:
        child.kill()
        child.wait()


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def remove_shared_memory(prefix: str) -> None:
    """Remove the regions in /dev/shm whose names begin with ``prefix``."""
    for region in Path("/dev/shm").glob(f"{prefix}*"):  # noqa: S108
        region.unlink(missing_ok=True)


if __name__ == "__main__":
    _, owner_pid, grace_seconds, prefix, folder, *words = sys.argv
    sys.exit(run(int(owner_pid), float(grace_seconds), prefix, Path(folder), words))
