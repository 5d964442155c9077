"""``millirank serve``: the command, and the options that it makes of its own."""

from __future__ import annotations

from pathlib import Path

import click

from serving.asking_options import DEMO


@click.command()
@click.argument("repository", type=click.Path(path_type=Path), default=DEMO)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--http-port", default=8000, show_default=True, help="0 takes a free port.")
@click.option("--grpc-port", default=8001, show_default=True, help="0 takes a free port.")
@click.option("--metrics-port", default=8002, show_default=True, help="0 takes a free port.")
@click.option("--profile", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option("--state", default="", help="URL of the user state; default: lmdb://../state.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the token that control endpoints ask for; default: a new one each start.",
)
def serve(
    repository: Path,
    host: str,
    http_port: int,
    grpc_port: int,
    metrics_port: int,
    profile: str,
    state: str,
    token_file: Path | None,
) -> None:
    """Serve REPOSITORY in the foreground until Ctrl-C or SIGTERM.

    Every file of the current release is checked against its manifest first. A server that
    crashes is started again.
    """
    from serving.control_token import read_token
    from serving.foreground import serve_foreground
    from serving.ports import Ports
    from serving.server import ServerOptions

    options = ServerOptions(
        host=host,
        ports=Ports(http_port, grpc_port, metrics_port),
        config_name="" if profile == "cpu" else profile,
        state=state,
        token=read_token(token_file) if token_file else "",
    )
    serve_foreground(repository, options, click.echo)
