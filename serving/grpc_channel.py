"""Channels of gRPC: where they lead, how they are shared out, and what they run over."""

from __future__ import annotations

import json
import re
from typing import Any

from ensembles.errors import RequestError, ServerUnavailable
from serving.tls import TLS

_ROUND_ROBIN = json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),  # also the time limit of one attempt
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A peer that vanished without a word is noticed by what it leaves unacknowledged for 5 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_FOR_SEVERAL = (
    ("grpc.service_config", _ROUND_ROBIN),
    # A name is asked again when a connection ends, but at most so often (30 s by default).
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
)
_NO_CONNECTION = re.compile(r"handshake|Socket closed|reset by peer|failing|failed to connect")


def open_channel(grpc: Any, channels: Any, address: str, tls: TLS | None) -> Any:
    """A channel to ``address``; it connects when first used.

    Args:
        grpc: the module.
        channels: ``grpc`` or ``grpc.aio``.
        address: ``host:port`` of one server, or a name of gRPC for several, which then are asked
            in turn: ``dns:///name:port`` (every address that the name has) or
            ``ipv4:1.2.3.4:port,1.2.3.5:port``.
    """
    several = re.match(r"(dns|ipv4|ipv6):", address)
    options = (*_OPTIONS, *(_FOR_SEVERAL if several else ()))
    if tls is None:
        return channels.insecure_channel(address, options=options)
    return channels.secure_channel(address, tls.credentials(grpc), options=options)


def named_tls(error: RequestError, tls: TLS | None) -> RequestError:
    """``error``, naming TLS where that may be the reason for no connection."""
    text = str(error)
    if not isinstance(error, ServerUnavailable) or not _NO_CONNECTION.search(text):
        return error
    if tls is not None:
        shown = "its own certificate" if tls.cert else "no certificate of its own"
        return ServerUnavailable(
            f"no connection over TLS: {text} (this client trusts {tls.ca or 'public CAs'} and "
            f"shows {shown}; the server's certificate must be signed by what the client trusts "
            "and name the host that it asks)"
        )
    if "Socket closed" in text or "reset by peer" in text:
        return ServerUnavailable(f"{text}; where the server speaks TLS, give the client its CA")
    return error
