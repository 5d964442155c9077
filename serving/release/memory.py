"""Whether a second release has room beside the first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ensembles.errors import ReleaseError
from serving.manifest import read_manifest

PROC = Path("/proc")
STEP_BYTES = 120_000_000
"""What a process of a step takes beside its files: interpreter, numpy, a runtime; measured."""
_STEPS = 4
_SPARE = 1.2
_PSS = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


def check_room(
    repository: Path, release: int, address: str, loaded: int, proc: Path = PROC
) -> None:
    """Compare what one more release will take with what this machine has left.

    It takes as much as each of those that are loaded does, the server's own part included. Where
    the server's processes cannot be seen, it is reckoned from the files of the release.

    Args:
        address: ``host:port`` of the server's HTTP front end.
        loaded: releases that the server has loaded now.

    Raises:
        ReleaseError: there is not enough.
    """
    files = sum(file["bytes"] for file in read_manifest(repository, release)["files"].values())
    running = server_bytes(address, proc)
    each = running / max(loaded, 1) if running else files + _STEPS * STEP_BYTES
    wanted = _SPARE * max(each, files)
    left = available_bytes(proc / "meminfo")
    if left is not None and wanted > left:
        raise ReleaseError(
            f"release {release} beside the current one takes about {wanted / 1e6:,.0f} MB of "
            f"memory, and {left / 1e6:,.0f} MB are available; stop something, or restart the "
            "server on the new release instead"
        )


def available_bytes(meminfo: Path) -> int | None:
    """Memory that can be had without swapping; None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None


def server_bytes(address: str, proc: Path = PROC) -> int | None:
    """Memory of a server and all that it started; None where it does not run on this machine.

    Pages that several processes share are counted once.
    """
    host, _, port = address.rpartition(":")
    if host not in _LOCAL:
        return None
    parents = dict(_parents(proc))
    found = {pid for pid in parents if f"--http-port={port}" in _arguments(proc, pid)}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    try:
        kilobytes = [
            int(_PSS.findall((proc / str(pid) / "smaps_rollup").read_text())[0]) for pid in found
        ]
    except (OSError, IndexError):  # another user's, or it has just ended
        return None
    return sum(kilobytes) * 1024 or None


def _parents(proc: Path) -> Iterator[tuple[int, int]]:
    for folder in (f for f in proc.iterdir() if f.name.isdigit()):
        try:
            # PID (NAME) STATE PARENT ...; the name may hold anything.
            yield int(folder.name), int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue


def _arguments(proc: Path, pid: int) -> list[str]:
    try:
        return (proc / str(pid) / "cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []
