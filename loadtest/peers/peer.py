"""The peers: how each is started, and in which form it takes requests."""

from __future__ import annotations

from dataclasses import dataclass

from ensembles.errors import LoadTestError, did_you_mean
from loadtest.peers.wire import Form

TRITON = "triton"
IN_PROCESS = "in-process"
"""No server at all: the ceiling of what a server could reach with these steps."""
_SERVERS = "loadtest.peers.servers"


@dataclass(frozen=True)
class Peer:
    """A server that is not ours.

    Attributes:
        name: of its requirements file and of its environment.
        arguments: of Python, to start it; ``{port}`` stands for where it listens.
        form: of the requests that it takes.
        variables: of its environment, beside the common ones.
    """

    name: str
    arguments: tuple[str, ...]
    form: Form
    variables: tuple[tuple[str, str], ...] = ()


PEERS = (
    Peer(
        "fastapi",
        (
            *("-m", "uvicorn", f"{_SERVERS}.fastapi_app:app", "--workers", "2"),
            *("--host", "127.0.0.1", "--port", "{port}"),
            *("--log-level", "warning", "--no-access-log"),
        ),
        Form.BINARY,
    ),
    Peer("litserve", ("-m", f"{_SERVERS}.litserve_app", "{port}"), Form.JSON),
    Peer(
        "bentoml",
        (
            *("-m", "bentoml", "serve", f"{_SERVERS}.bentoml_app:Recommend"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
        Form.JSON_LIST,
        (("BENTOML_DO_NOT_TRACK", "True"),),
    ),
    Peer("mlserver", ("-m", f"{_SERVERS}.mlserver_app", "{port}"), Form.JSON),
    Peer(
        "ray_serve",
        ("-m", f"{_SERVERS}.ray_app", "{port}"),
        Form.BINARY,
        (("RAY_USAGE_STATS_ENABLED", "0"),),
    ),
)


def chosen(names: tuple[str, ...]) -> tuple[Peer, ...]:
    """The peers of these names; all of them when none is named.

    Raises:
        LoadTestError: there is no such peer.
    """
    known = {peer.name: peer for peer in PEERS}
    for name in names:
        if name not in known:
            raise LoadTestError(
                f"peers are {sorted(known)}; got {name!r}.{did_you_mean(name, known)}"
            )
    return tuple(known[name] for name in names) or PEERS
