"""What ``millirank recommend`` prints."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console

from serving.ask import ask
from serving.client import ProtocolName, Request
from serving.repository import titles
from serving.tables import recommendation_table
from serving.tls import TLS


def print_recommendation(
    request: Request,
    address: str,
    protocol: ProtocolName,
    repository: Path,
    tls: TLS | None = None,
) -> None:
    """Ask one request, and print the items with their titles.

    Args:
        address, protocol, repository, tls: as in ``serving.ask``, whose errors are raised.
    """
    answer, note = ask(request, address, protocol, repository, tls)
    console = Console()
    if note:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    picture = Path(request.image).name if isinstance(request.image, str | os.PathLike) else ""
    known = titles(repository, answer.release)
    console.print(recommendation_table(request.user_id, answer, known, picture=picture))
