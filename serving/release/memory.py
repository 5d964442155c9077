"""Whether a second release has room beside the first."""

from __future__ import annotations

from pathlib import Path

from ensembles.errors import ReleaseError
from serving.manifest import read_manifest

PROCESS_BYTES = 120_000_000
"""What a step's process takes beside its files: interpreter, numpy, a runtime; measured."""
_SPARE = 1.2


def check_room(repository: Path, release: int, processes: int = 4) -> None:
    """Compare what a release will take with what this machine has left.

    Args:
        processes: that its steps run in.

    Raises:
        ReleaseError: there is not enough.
    """
    files = read_manifest(repository, release)["files"].values()
    wanted = round(_SPARE * (sum(file["bytes"] for file in files) + processes * PROCESS_BYTES))
    left = available_bytes()
    if left is not None and wanted > left:
        raise ReleaseError(
            f"release {release} beside the current one takes about {wanted / 1e6:,.0f} MB of "
            f"memory, and {left / 1e6:,.0f} MB are available; stop something, or restart the "
            "server on the new release instead"
        )


def available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Memory that can be had without swapping; None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None
