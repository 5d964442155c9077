"""Memory of a server's processes during a load, and how much of it is growth."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

_ANONYMOUS = re.compile(r"^Anonymous:\s+(\d+) kB$", re.MULTILINE)
Samples = tuple[tuple[float, float], ...]
"""Of one process: seconds from the first measured moment, and MB."""


def server_memory(pid: int) -> dict[str, float]:
    """Anonymous memory (heap, stacks) of each process of a server in MB, by name and id.

    Pages of files are left out, the private ones too: whether those count as a process's own
    depends on who else on the machine has the same libraries open. A process that ended, or a
    server that is not there, is left out: requests without an answer say so.
    """
    import psutil

    try:
        server = psutil.Process(pid)
        processes = [server, *server.children(recursive=True)]
    except psutil.Error:
        return {}
    found = {}
    for process in processes:
        try:
            name, rollup = process.name(), Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            found[f"{name} {process.pid}"] = int(_ANONYMOUS.findall(rollup)[0]) * 1024 / 1e6
        except (psutil.Error, OSError, IndexError):
            continue
    return found


def by_process(samples: Sequence[tuple[float, Mapping[str, float]]]) -> dict[str, Samples]:
    """What was sampled at some moments, by process; those seen once are left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for moment, memory in samples:
        for name, mb in memory.items():
            found.setdefault(name, []).append((moment, mb))
    return {name: tuple(seen) for name, seen in found.items() if len(seen) > 1}


def first_and_last(samples: Samples) -> tuple[float, float]:
    """Medians of the first and of the last tenth of some samples, at least one each, in MB.

    One sample may fall into a batch that is large for a moment; the median of several does not.
    """
    tenth = max(1, len(samples) // 10)
    mb = [value for _, value in samples]
    return median(mb[:tenth]), median(mb[-tenth:])
