"""One kept connection to Redis, and where it leads.

The pool and the client of the package ``redis`` are left out: around one MGET they cost four
times what the connection itself does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SCHEMES = ("redis://", "rediss://")
PASSWORD_FILE = "MILLIRANK_STATE_PASSWORD_FILE"  # noqa: S105
"""Environment variable; names a file with the password, instead of one in the URL."""

CONNECT_SECONDS = 1.0
"""For connecting and signing in, which no request waits for."""

_GRACE_SECONDS = 0.002
"""Left for what has come already where this process itself did not get to run in time."""

PREFIX = b"millirank:user:"
"""A key a user: all users of a batch come in one MGET, whatever their number each is read in
constant time, and expiry, eviction, SCAN and replication see users and not one huge hash."""


def options_of(url: str) -> dict[str, Any]:
    """Arguments of a connection: ``redis[s]://[[user]:password@]host[:port][/db][?ssl_...]``.

    Raises:
        ValueError: the URL names no host, port or data base, the password file is unreadable or
            empty, or the package ``redis`` is missing.
    """
    try:
        from redis.connection import parse_url
    except ImportError as e:
        raise ValueError(
            "a user state in Redis needs the package redis; it belongs to the extra 'serve'"
        ) from e
    try:
        parts = urlsplit(url)
        options: dict[str, Any] = {"port": 6379, "db": 0, **parse_url(url)}  # type: ignore[no-untyped-call]
        fits = parts.hostname and (parts.path.strip("/") or "0").isdecimal()
        fits = fits and all(name.startswith("ssl_") for name in parse_qs(parts.query))
    except ValueError:  # its words may hold a part of the password
        fits = False
    if not fits:
        raise ValueError(
            f"expected a user state URL such as 'redis://host:6379/0', got {shown(url)!r}; "
            "in a password, special characters are written as %40 and the like"
        )
    password = _password()
    return {**options, "password": password} if password else options


def shown(url: str) -> str:
    """The URL without what is secret."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _password() -> str:
    path = os.environ.get(PASSWORD_FILE)
    if not path:
        return ""
    try:
        password = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as e:
        raise ValueError(f"{PASSWORD_FILE} names {path}, which cannot be read: {e}") from e
    if not password:
        raise ValueError(f"{PASSWORD_FILE} names {path}, which is empty; write the password to it")
    return password


class Line:
    """A connection that fetches values within a time limit."""

    def __init__(self, options: dict[str, Any], limit: float) -> None:
        """Connect and sign in.

        Args:
            options: of ``options_of``.
            limit: seconds that one ``values`` may take in all.

        Raises:
            OSError, redis.RedisError: nobody there, or not welcome.
        """
        self._limit = limit
        self._connection = _timed_class(options.get("connection_class"))(
            **{k: v for k, v in options.items() if k != "connection_class"},
            socket_timeout=CONNECT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            driver_info=None,
            protocol=2,
        )
        self._connection.connect()

    def values(self, users: Sequence[bytes]) -> list[bytes]:
        """Values of users, ``b""`` for unknown ones, in one round trip.

        Raises:
            OSError, redis.RedisError: no good answer within the limit.
        """
        connection = self._connection
        connection.due = time.monotonic() + self._limit
        connection.send_command("MGET", *[PREFIX + user for user in users])
        found = connection.read_response(disable_decoding=True)
        return [value or b"" for value in found]

    def close(self) -> None:
        """Hang up."""
        self._connection.disconnect()


def _timed_class(kind: Any) -> Any:
    """The package's connection, with its socket in a ``_Timed``."""
    from redis.connection import Connection

    class Timed(kind or Connection):  # type: ignore[misc]
        due = float("inf")

        def _connect(self) -> Any:
            return _Timed(super()._connect(), self)

    return Timed


class _Timed:
    """A socket whose waits all end when its connection is due.

    The package's own time limit begins anew with every piece of an answer.
    """

    def __init__(self, sock: Any, connection: Any) -> None:
        self._sock = sock
        self._connection = connection

    def recv(self, size: int) -> bytes:
        self._sock.settimeout(self._left())
        content: bytes = self._sock.recv(size)
        return content

    def sendall(self, content: bytes) -> None:
        self._sock.settimeout(self._left())
        self._sock.sendall(content)

    def _left(self) -> float:
        left: float = min(self._connection.due - time.monotonic(), CONNECT_SECONDS)
        return max(left, _GRACE_SECONDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)
