"""Ports for the server: free ones when asked, a clear error when a wanted one is taken."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from dataclasses import dataclass

from ensembles.errors import ServerError


@dataclass(frozen=True)
class Ports:
    """Where a server listens; 0 asks for any free port."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002

    @property
    def any_free(self) -> bool:
        """Whether at least one port is left to the system."""
        return 0 in (self.http, self.grpc, self.metrics)

    def settle(self, host: str) -> Ports:
        """The same ports, with every 0 replaced by a free port; all three differ.

        Raises:
            ServerError: a wanted port is in use, or ``host`` is no address of this machine.
        """
        with ExitStack() as held:
            wanted = {"http": self.http, "grpc": self.grpc, "metrics": self.metrics}
            # Wanted ports first, so that a free one never takes a port that was asked for.
            order = sorted(wanted, key=lambda role: wanted[role] == 0)
            return Ports(**{role: _hold(held, host, wanted[role], role) for role in order})


def _hold(held: ExitStack, host: str, port: int, role: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
    # As servers do: a port whose last connections are still closing counts as free.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind((host, port))
        holder.listen()
    except (OSError, OverflowError) as e:
        raise ServerError(
            f"port {port} of {host} is not available for {role} ({e}); "
            "stop what uses it, or choose another port (0 takes any free one)"
        ) from e
    number: int = holder.getsockname()[1]
    return number


def listens(address: str) -> bool:
    """Whether somebody listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2):
            return True
    except OSError:
        return False
