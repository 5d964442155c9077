"""``millirank recommend``: the command."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from serving.asking_options import asking

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@asking
@click.option("-k", "k", default=10, show_default=True, help="How many items, 1 to 100.")
@click.option("--candidate", "candidates", multiple=True, help="Rank only these ids; repeat it.")
@click.option("--recent", multiple=True, help="Id touched a moment ago, newest last; repeat it.")
@click.option("--tls-ca", type=_FILE, help="gRPC over TLS: the CA that signed the server, PEM.")
@click.option(
    "--tls-cert", type=_FILE, help="This client's certificate, where the server wants one."
)
@click.option("--tls-key", type=_FILE, help="Its private key.")
def recommend(
    user: str,
    k: int,
    candidates: tuple[str, ...],
    recent: tuple[str, ...],
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    image: Path | None,
    server: str,
    protocol: Literal["grpc", "http"],
    repository: Path,
) -> None:
    """Ask a server for the best items of one user and print them with titles."""
    from serving.messages import Request
    from serving.printed import print_recommendation
    from serving.tls import tls_of

    request = Request(user, k, candidates or None, recent or None, image)
    tls = tls_of(tls_ca, tls_cert, tls_key)
    print_recommendation(request, server, protocol, repository, tls)
