"""How a server is started: options, and the command line that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from serving.binary import Installation
from serving.ports import Ports
from serving.repository import models_to_load, picture_cache_mb
from serving.tls import ServerTls

TOKEN_HEADER = "millirank-token"  # noqa: S105
"""HTTP header that carries the control token; gRPC metadata has it behind a fixed prefix."""
GRPC_TOKEN_HEADER = f"triton-grpc-protocol-{TOKEN_HEADER}"
CONTROL_SECONDS = 5.0
"""For one call of a control interface."""
CONTROL_INTERFACES = ("model-repository", "shared-memory", "trace", "logging")

_CONNECTION_GRACE_SECONDS = 60
"""Requests on a connection that is too old get so long to finish."""


@dataclass(frozen=True)
class ServerOptions:
    """How a server is started.

    Attributes:
        host: address to listen on; this machine only by default.
        http_host: address for HTTP, which has no TLS; ``""`` is ``host``, and with ``tls`` this
            machine only.
        ports: where to listen; 0 takes a free port.
        models: what to load; by default the ensembles and whatever they need.
        config_name: profile of the configuration, ``""`` for the default (cpu) one.
        token: secret that the control interfaces want in a header; ``""`` generates one.
            Triton takes it on its command line only, where this machine's users can read it.
        state: URL of the user state; ``""`` leaves it to the configuration.
        stage_log: file to which the joined model appends the moments between its stages.
        log: file that the server's output is appended to; None keeps it until ``stop``.
        told: takes each line of the output at once instead, in a thread of its own; nothing is
            kept then but the last lines.
        tls: certificates for gRPC; None speaks without TLS.
        connection_seconds: a connection of gRPC is closed after about so long, requests in flight
            aside, so that its client connects again, maybe to another server; 0 never.
        environment: further variables for the steps.
        ready_seconds: how long loading and warm-up may take.
        stop_seconds: how long requests in flight may take when the server stops.
        flags: further flags of tritonserver.
    """

    host: str = "127.0.0.1"
    http_host: str = ""
    ports: Ports = field(default_factory=Ports)
    models: tuple[str, ...] = ()
    config_name: str = ""
    token: str = ""
    state: str = ""
    stage_log: str = ""
    log: Path | None = None
    told: Callable[[str], None] | None = None
    tls: ServerTls | None = None
    connection_seconds: float = 0.0
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float = 180.0
    stop_seconds: float = 15.0
    flags: Sequence[str] = ()

    @property
    def http_address(self) -> str:
        """Where HTTP listens: requests and answers go over it as plain text."""
        return self.http_host or ("127.0.0.1" if self.tls else self.host)


def command_line(
    repository: Path, options: ServerOptions, installation: Installation, shm_prefix: str
) -> list[str]:
    """The server's command line.

    Args:
        options: with settled ports and a token.
        shm_prefix: first letters of the names of its shared memory, so that it can be found.
    """
    o, ports = options, options.ports
    restricted = f"{','.join(CONTROL_INTERFACES)}:{TOKEN_HEADER}={o.token}"
    command = [
        str(installation.executable),
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in o.models or models_to_load(repository)),
        *(f"--http-address={o.http_address}", f"--http-port={ports.http}"),
        *(f"--grpc-address={o.host}", f"--grpc-port={ports.grpc}"),
        *(f"--metrics-address={o.host}", f"--metrics-port={ports.metrics}"),
        # p50, p95 and p99 of the last minute, on the server's clock.
        "--metrics-config=summary_latencies=true",
        f"--http-restricted-api={restricted}",
        f"--grpc-restricted-protocol={restricted}",
        f"--exit-timeout-secs={round(o.stop_seconds)}",
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
    ]
    if megabytes := picture_cache_mb(repository):
        command.append(f"--cache-config=local,size={megabytes * 2**20}")
        if installation.caches:
            command.append(f"--cache-directory={installation.caches}")
    if installation.backends:
        command.append(f"--backend-directory={installation.backends}")
    if o.tls:
        command += o.tls.flags
    if o.connection_seconds:
        command += _connection_age(o.connection_seconds)
    if o.config_name:
        command.append(f"--model-config-name={o.config_name}")
    return [*command, *o.flags]


def _connection_age(seconds: float) -> tuple[str, str]:
    age, grace = round(seconds * 1000), _CONNECTION_GRACE_SECONDS * 1000
    return f"--grpc-max-connection-age={age}", f"--grpc-max-connection-age-grace={grace}"
