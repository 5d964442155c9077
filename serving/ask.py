"""Asks a running server or, where there is none, one that is made for the questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ensembles.errors import ServerUnavailable
from serving.client import Client, ProtocolName, Recommendation, Request
from serving.temporary import temporary_server
from serving.tls import TLS


def ask(
    request: Request,
    address: str,
    protocol: ProtocolName,
    repository: Path,
    tls: TLS | None = None,
) -> tuple[Recommendation, str]:
    """The answer to one request; as ``ask_all``."""
    (answer,), note = ask_all([request], address, protocol, repository, tls)
    return answer, note


def ask_all(
    requests: Sequence[Request],
    address: str,
    protocol: ProtocolName,
    repository: Path,
    tls: TLS | None = None,
) -> tuple[list[Recommendation], str]:
    """The answers, and a note on who gave them where that is not the server at ``address``.

    Args:
        requests: asked one after the other.
        address: ``host:port``; empty: this machine, at the port that is usual for ``protocol``.
        repository: served for these requests where no server answers.
        tls: as in ``Client``; then nothing is served instead of the server that does not answer.

    Raises:
        RequestError, ServerError: nobody answers, and ``repository`` cannot be served.
    """
    address = address or f"127.0.0.1:{8001 if protocol == 'grpc' else 8000}"
    try:
        return _answers(requests, address, protocol, tls), ""
    except ServerUnavailable as e:
        if tls is not None:
            raise
        if not repository.is_dir():
            raise ServerUnavailable(
                f"no server answers at {address} ({e}), and there is no repository {repository} "
                "to serve; start one with 'millirank serve'"
            ) from e
    with temporary_server(repository) as server:
        own = server.grpc if protocol == "grpc" else server.http
        note = f"no server at {address}; served {repository} for it"
        return _answers(requests, own, protocol), note


def _answers(
    requests: Sequence[Request], address: str, protocol: ProtocolName, tls: TLS | None = None
) -> list[Recommendation]:
    """The first answer of a new connection takes longer, so the second of each is returned."""
    with Client(address, protocol, tls=tls) as client:
        return [(client.recommend(r), client.recommend(r))[1] for r in requests]
