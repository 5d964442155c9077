"""Asks one question, of a running server or, where there is none, of one made for it."""

from __future__ import annotations

from pathlib import Path

from ensembles.errors import ServerUnavailable
from serving.client import Client, ProtocolName, Recommendation, Request
from serving.temporary import temporary_server


def ask(
    request: Request, address: str, protocol: ProtocolName, repository: Path
) -> tuple[Recommendation, str]:
    """The answer, and a note on who gave it where that is not the server at ``address``.

    The first answer of a new connection or server takes longer than the ones after it, so the
    request is sent twice and the second answer returned.

    Raises:
        RequestError, ServerError: nobody answers, and ``repository`` cannot be served.
    """
    try:
        return _twice(request, address, protocol), ""
    except ServerUnavailable as e:
        if not repository.is_dir():
            raise ServerUnavailable(
                f"no server answers at {address} ({e}), and there is no repository {repository} "
                "to serve; start one with 'millirank serve'"
            ) from e
    with temporary_server(repository) as server:
        own = server.grpc if protocol == "grpc" else server.http
        return _twice(request, own, protocol), f"no server at {address}; served {repository} for it"


def _twice(request: Request, address: str, protocol: ProtocolName) -> Recommendation:
    with Client(address, protocol) as client:
        client.recommend(request)
        return client.recommend(request)
