"""What a running server tells of single requests: traces to a collector, lines in its log."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ensembles.errors import SettingsError

SERVICE = "millirank"
"""Name of the server in traces."""
TRACE_EVERY = 100
_BATCH_MS = 1000
"""Spans wait so long for others, and then go to the collector together."""


def check_collector(url: str) -> None:
    """Refuse what is no URL.

    Raises:
        SettingsError: that is so.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise SettingsError(
            "an OpenTelemetry endpoint is a URL such as http://127.0.0.1:4318/v1/traces; "
            f"got {url!r}"
        )


def collector_flags(url: str, every: int, level: str = "TIMESTAMPS") -> tuple[str, ...]:
    """What makes tritonserver send the spans of one request in ``every`` to a collector.

    A request that comes with a trace of its own is traced in any case.
    """
    settings = ["mode=opentelemetry", f"opentelemetry,url={url}"]
    settings += [f"opentelemetry,resource=service.name={SERVICE}"]
    settings += [f"opentelemetry,bsp_schedule_delay={_BATCH_MS}"]
    settings += [f"level={level}", f"rate={every}"]
    return tuple(f"--trace-config={setting}" for setting in settings)


@dataclass(frozen=True)
class Traces:
    """Traces of a server that runs for long.

    Attributes:
        url: of the collector; it takes OTLP over HTTP, in JSON (Triton) and protobuf (the steps).
        every: so many requests that bring no trace of their own make one trace.

    Raises:
        SettingsError: the URL is none, or ``every`` is below 1.
    """

    url: str
    every: int = TRACE_EVERY

    def __post_init__(self) -> None:
        check_collector(self.url)
        if self.every < 1:
            raise SettingsError(f"one request in 1 or more is traced; got {self.every}")

    @property
    def flags(self) -> tuple[str, ...]:
        """For tritonserver."""
        return collector_flags(self.url, self.every)

    @property
    def environment(self) -> dict[str, str]:
        """For the steps."""
        return {"MILLIRANK_OTLP": self.url}


@dataclass(frozen=True)
class RequestLog:
    """Which requests get a line in the log, written by the joined model.

    Attributes:
        every: every so many; 1 for all. Those that failed or were degraded come on top.
        key: makes the hashes that stand for user ids; the same key makes the same hashes.

    Raises:
        SettingsError: ``every`` is below 1.
    """

    every: int
    key: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise SettingsError(f"every request in 1 or more is logged; got {self.every}")

    @property
    def environment(self) -> Mapping[str, str]:
        """For the steps."""
        return {"MILLIRANK_LOG_EVERY": str(self.every), "MILLIRANK_LOG_KEY": self.key}


def request_log(every: int, key_file: Path | None) -> Mapping[str, str]:
    """For the steps, out of two options; 0 logs nothing.

    Raises:
        SettingsError: a number below 0, or a key file that cannot be read or is empty.
    """
    if every == 0:
        return {}
    if key_file is None:
        return RequestLog(every).environment
    from serving.control_token import read_token

    return RequestLog(every, read_token(key_file)).environment
