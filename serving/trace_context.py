"""Hands the caller's trace on to the server, where the caller uses OpenTelemetry.

Nothing is imported and nothing is done where the caller has not imported OpenTelemetry itself.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

Headers = Mapping[str, str]
_NOTHING: AbstractContextManager[Headers] = contextlib.nullcontext({})


def call_span(request_id: str, rows: int) -> AbstractContextManager[Headers]:
    """A span around one call, and the headers that hand it on: W3C trace context.

    It is a child of the active span. Without a tracer provider there is no span, and the active
    one, of another library, is handed on. Triton traces whatever comes with a context, also one
    that is not sampled, so only sampled ones are handed on.
    """
    return _span(request_id, rows) if "opentelemetry.trace" in sys.modules else _NOTHING


@contextlib.contextmanager
def _span(request_id: str, rows: int) -> Iterator[Headers]:
    from opentelemetry import propagate, trace

    attributes: dict[str, str | int] = {
        "millirank.request_id": request_id,
        "millirank.rows": rows,
    }
    with trace.get_tracer("millirank").start_as_current_span(
        "millirank.recommend", kind=trace.SpanKind.CLIENT, attributes=attributes
    ) as span:
        headers: dict[str, str] = {}
        if span.get_span_context().trace_flags.sampled:
            propagate.inject(headers)
        yield headers
