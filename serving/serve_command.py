"""``millirank serve``: the command, and the options that it makes of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from serving.asking_options import DEMO

_STOP_SECONDS = 0.0
"""Nothing is in flight when a drained server stops, and while tritonserver waits it closes new
connections without an answer."""
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("repository", type=click.Path(path_type=Path), default=DEMO)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--http-port", default=8000, show_default=True, help="0 takes a free port.")
@click.option("--grpc-port", default=8001, show_default=True, help="0 takes a free port.")
@click.option("--metrics-port", default=8002, show_default=True, help="0 takes a free port.")
@click.option("--profile", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True)
@click.option(
    "--state",
    default="",
    help="User state: lmdb://FOLDER or redis://HOST:PORT/DB; default: lmdb://../state.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the token that control endpoints ask for; default: a new one each start.",
)
@click.option("--tls-cert", type=_FILE, help="Certificate of the server, PEM: gRPC speaks TLS.")
@click.option("--tls-key", type=_FILE, help="Its private key, PEM.")
@click.option("--tls-client-ca", type=_FILE, help="Clients must be signed by this CA, PEM.")
@click.option(
    "--http-host",
    default="",
    help="Address for HTTP, which has no TLS; default: --host, and 127.0.0.1 with TLS.",
)
@click.option(
    "--grpc-max-connection-age",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Seconds after which a gRPC connection is renewed, maybe elsewhere; 0 is never.",
)
@click.option("--otlp", default="", help="OpenTelemetry collector, http://HOST:4318/v1/traces.")
@click.option(
    "--trace-every",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="With --otlp: one request in so many; those with a trace of their own come on top.",
)
@click.option(
    "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@click.option(
    "--log-every",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="A line for one request in so many, and for failed and degraded ones; 0 for none.",
)
@click.option(
    "--log-key-file",
    type=_FILE,
    help="File with the key of the hashes of user ids; default: a new one each start.",
)
@click.option(
    "--drain-seconds",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="On SIGTERM go on answering so long, and say that the server is not ready.",
)
@click.option(
    "--engines",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for engines of the gpu profile; default: in REPOSITORY.",
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
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    http_host: str,
    grpc_max_connection_age: float,
    otlp: str,
    trace_every: int,
    log_format: Literal["text", "json"],
    log_every: int,
    log_key_file: Path | None,
    drain_seconds: float,
    engines: Path | None,
) -> None:
    """Serve REPOSITORY in the foreground until Ctrl-C or SIGTERM.

    Every file of the current release is checked against its manifest first. A server that
    crashes is started again. At the end every request in flight is answered.
    """
    if engines and profile == "cpu":
        raise click.UsageError("--engines is for --profile gpu; the cpu profile has no engines")
    from serving.control_token import read_token
    from serving.foreground import serve_foreground
    from serving.log_format import Output
    from serving.ports import Ports
    from serving.server import ServerOptions
    from serving.telemetry import Traces, request_log
    from serving.tls import server_tls_of

    output = Output(log_format, click.echo)
    with output.with_errors():
        traces = Traces(otlp, trace_every) if otlp else None
        options = ServerOptions(
            host=host,
            http_host=http_host,
            ports=Ports(http_port, grpc_port, metrics_port),
            config_name="" if profile == "cpu" else profile,
            state=state,
            token=read_token(token_file) if token_file else "",
            told=output.pass_on,
            tls=server_tls_of(tls_cert, tls_key, tls_client_ca),
            connection_seconds=grpc_max_connection_age,
            environment={
                **(traces.environment if traces else {}),
                **request_log(log_every, log_key_file),
            },
            stop_seconds=_STOP_SECONDS,
            flags=traces.flags if traces else (),
        )
        serve_foreground(
            repository, options, output.say, drain_seconds=drain_seconds, engines=engines
        )
