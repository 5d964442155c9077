"""The caller's trace goes along, where the caller has one; and every call has an id."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from serving.request_id import new_request_id
from serving.trace_context import call_span


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


def parent(flags: int) -> Any:
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(flags))
    return trace.use_span(trace.NonRecordingSpan(context))


def test_a_call_is_a_child_of_the_active_span(exported: InMemorySpanExporter) -> None:
    with parent(flags=1), call_span("an-id", 3) as headers:
        pass
    (span,) = exported.get_finished_spans()
    assert headers["traceparent"] == f"00-{0xABC:032x}-{span.context.span_id:016x}-01"
    assert (span.name, span.kind) == ("millirank.recommend", trace.SpanKind.CLIENT)
    assert span.parent
    assert span.parent.span_id == 0xDEF
    assert dict(span.attributes or {}) == {"millirank.request_id": "an-id", "millirank.rows": 3}


def test_a_call_that_fails_says_so(exported: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no"), call_span("an-id", 1):
        raise ValueError("no")
    (span,) = exported.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.ERROR


def test_what_is_not_sampled_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer", TracerProvider(sampler=ALWAYS_OFF).get_tracer)
    with parent(flags=1), call_span("an-id", 1) as headers:
        assert dict(headers) == {}


def test_without_a_provider_the_active_span_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer", trace.NoOpTracerProvider().get_tracer)
    with parent(flags=1), call_span("an-id", 1) as headers:
        assert headers["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"
    with parent(flags=0), call_span("an-id", 1) as headers:
        assert dict(headers) == {}


def test_a_caller_without_opentelemetry_does_not_load_it() -> None:
    program = (
        "import sys\n"
        "from serving.client import Client, Request\n"
        "from serving.trace_context import call_span\n"
        "with call_span('i', 1) as headers: assert dict(headers) == {}\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_ids_differ() -> None:
    ids = {new_request_id() for _ in range(10_000)}
    assert len(ids) == 10_000
    assert {len(i) for i in ids} == {16}
