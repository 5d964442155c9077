"""Spans of the stages, for requests that Triton traces with OpenTelemetry.

Triton knows the joined model as one; its span of a request is the parent of one span a stage.
They are sent by a thread of their own. OpenTelemetry is imported where a collector is named only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from typing import Any

from .stages import Passed


class StageSpans:
    """Makes the spans of traced requests, for ``service`` in a collector's eyes."""

    def __init__(self, exporter: Any, service: str, delay_ms: int) -> None:
        """``exporter``: of the OpenTelemetry SDK; it gets spans ``delay_ms`` later, together."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(resource=Resource({"service.name": service}))
        processor = BatchSpanProcessor(exporter, schedule_delay_millis=delay_ms)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("millirank")

    @classmethod
    def from_environment(cls, service: str) -> StageSpans | None:
        """To the collector that ``MILLIRANK_OTLP`` names; None where it names none.

        Raises:
            ImportError: there is no OpenTelemetry SDK with its OTLP exporter over HTTP.
        """
        url = os.environ.get("MILLIRANK_OTLP", "")
        if not url:
            return None
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return cls(OTLPSpanExporter(endpoint=url, timeout=5), service, delay_ms=1000)

    def batch(self, requests: Sequence[Any], passed: Sequence[Passed]) -> None:
        """Make the spans of one batch, of those of its requests that Triton traces."""
        offset = 0
        for place, request in enumerate(requests):
            carrier = request.trace().get_context()
            if not carrier:
                continue
            offset = offset or _since_1970()
            parent = _parent(carrier)
            for stage, start, end, places in passed:
                if place in places:
                    attributes = {"millirank.batch_requests": len(places)}
                    span = self._tracer.start_span(
                        stage, parent, start_time=start + offset, attributes=attributes
                    )
                    span.end(end + offset)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def _since_1970() -> int:
    """What to add to a moment of the monotonic clock, ns: of three looks the least disturbed."""
    looks = []
    for _ in range(3):
        before, now, after = time.perf_counter_ns(), time.time_ns(), time.perf_counter_ns()
        looks.append((after - before, now - (before + after) // 2))
    return min(looks)[1]


def _parent(carrier: str) -> Any:
    """The context that Triton gives as JSON: W3C headers."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(json.loads(carrier))
