"""A server for the time of one command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from serving.manifest import check
from serving.ports import Ports
from serving.repository import current_release
from serving.server import ServerOptions, TritonServer


def temporary_server(
    repository: Path, flags: Sequence[str] = (), stage_log: str = ""
) -> TritonServer:
    """Serve the current release of ``repository`` on free ports, once its files are checked.

    Raises:
        ReleaseError: a file of the release is missing or altered.
    """
    check(repository, current_release(repository))
    options = ServerOptions(ports=Ports(0, 0, 0), flags=flags, stage_log=stage_log)
    return TritonServer(repository, options)
