"""The process that makes the load, seen from outside: text in, text out, and it always ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ensembles.errors import LoadTestError

_GRACE_SECONDS = 60.0
"""Beyond its own time: starting up, and requests in flight at the end."""
_END_SECONDS = 5.0
"""For ending when asked to, before the process is killed."""
ROOT = Path(__file__).resolve().parents[1]


def in_own_process(text: str, seconds: float, command: Sequence[str]) -> str:
    """Run Python with ``command``, hand it ``text``, and return what it prints.

    Args:
        seconds: how long its work takes.

    Raises:
        LoadTestError: it failed, or took much longer.
    """
    limit = seconds + _GRACE_SECONDS
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,  # so that -m finds this very package
    ) as process:
        try:
            output, complaint = process.communicate(text, timeout=limit)
        except subprocess.TimeoutExpired as e:
            raise LoadTestError(
                f"the load process did not end within {limit:.0f} s and was stopped; "
                "is the machine out of processor time or memory?"
            ) from e
        finally:
            end_process(process)
    if process.returncode:
        raise LoadTestError(complaint.strip() or f"the load process ended {process.returncode}")
    return output


def end_process(process: subprocess.Popen[str]) -> None:
    """Ask the process to finish its requests in flight, and end it when it does not."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
