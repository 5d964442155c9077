"""Have Triton trace a share of the requests, for as long as a scenario is measured."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ensembles.errors import LoadTestError, SettingsError
from serving.options import TOKEN_HEADER
from serving.telemetry import check_collector, collector_flags

EVERY = 1
"""One request in so many is traced. Servers of 2024 crash now and then when, with tracing on, a
request is not sampled (triton-inference-server/server, issue 7795), so it is every one."""
_A_FILE = 50
"""Traces that Triton writes together; until then they take its memory."""


@dataclass(frozen=True)
class Tracing:
    """Where traces go. Triton knows one mode at a time: files here, or OpenTelemetry.

    Attributes:
        folder: for files.
        every: one request in so many is traced.
        otlp: URL of an OpenTelemetry collector that gets them instead; ``""`` for files.

    Raises:
        LoadTestError: the URL is none, or ``every`` is below 1.
    """

    folder: str
    every: int = EVERY
    otlp: str = ""

    def __post_init__(self) -> None:
        if self.otlp:
            try:
                check_collector(self.otlp)
            except SettingsError as e:
                raise LoadTestError(str(e)) from e
        if self.every < 1:
            raise LoadTestError(f"one request in 1 or more is traced; got {self.every}")

    @property
    def flags(self) -> tuple[str, ...]:
        """What tritonserver is started with; nothing is traced yet."""
        if self.otlp:
            return collector_flags(self.otlp, self.every, level="OFF")
        file = f"triton,file={self.folder}/traces"
        settings = ["mode=triton", file, f"triton,log-frequency={_A_FILE}"]
        settings += ["level=OFF", f"rate={self.every}"]
        return tuple(f"--trace-config={setting}" for setting in settings)

    @property
    def stage_log(self) -> str:
        """File for the moments between the stages of the joined model; none without files."""
        return "" if self.otlp else f"{self.folder}/stages"

    @property
    def files(self) -> list[Path]:
        """What Triton wrote."""
        return sorted(Path(self.folder).glob("traces*"))

    @contextlib.contextmanager
    def on(self, address: str, token: str) -> Iterator[None]:
        """Trace while the context lasts.

        Args:
            address: ``host:port`` of the HTTP front end.
            token: of the server; tracing is one of its guarded interfaces.

        Raises:
            LoadTestError: the server does not do it.
        """
        _set_level(address, token, "TIMESTAMPS")
        try:
            yield
        finally:
            _set_level(address, token, "OFF")


def _set_level(address: str, token: str, level: str) -> None:
    url, body = f"http://{address}/v2/trace/setting", json.dumps({"trace_level": [level]})
    request = urllib.request.Request(url, body.encode(), {TOKEN_HEADER: token})
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - http, built above
    except OSError as e:
        raise LoadTestError(f"the server did not set its trace level to {level}: {e}") from e
