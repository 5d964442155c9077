"""Spans of the stages of the joined model."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ensembles.step_code import load_step
from tests.triton.tiny import SOURCE

chain = load_step(SOURCE / "features_ranker_policy" / "1")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def request(carrier: str | None) -> Any:
    return SimpleNamespace(trace=lambda: SimpleNamespace(get_context=lambda: carrier))


TRACED = request(json.dumps({"traceparent": PARENT}))
UNTRACED = request(None)


def test_traced_requests_get_a_span_for_each_stage_they_were_in() -> None:
    exported = InMemorySpanExporter()
    spans = chain.StageSpans(exported, "millirank", delay_ms=60_000)
    now, before = time.perf_counter_ns(), time.time_ns()
    passed = [
        chain.Passed("features", now, now + 100, [0, 1, 2]),
        chain.Passed("ranker", now + 100, now + 300, [0, 1]),
    ]
    spans.batch([TRACED, UNTRACED, TRACED], passed)
    spans.batch([UNTRACED], passed)
    spans.close()
    found = [(s.name, s.end_time - s.start_time, dict(s.attributes)) for s in _of(exported)]
    assert found == [
        ("features", 100, {"millirank.batch_requests": 3}),
        ("ranker", 200, {"millirank.batch_requests": 2}),
        ("features", 100, {"millirank.batch_requests": 3}),
    ]
    for span in _of(exported):
        assert f"{span.context.trace_id:032x}" == PARENT[3:35]
        assert f"{span.parent.span_id:016x}" == PARENT[36:52]
        assert span.resource.attributes["service.name"] == "millirank"
        assert abs(span.start_time - before) < 60e9  # on the wall's clock


def _of(exporter: InMemorySpanExporter) -> list[Any]:
    return list(exporter.get_finished_spans())


def test_without_a_collector_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLIRANK_OTLP", raising=False)
    monkeypatch.delenv("MILLIRANK_LOG_EVERY", raising=False)
    told = chain.Told.from_environment("chain", "3")
    nothing = object()
    told.found([nothing])
    told.batch([nothing], [nothing], [chain.Passed("features", 0, 1, [0])])
    told.close()


def test_a_collector_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLIRANK_OTLP", "http://127.0.0.1:9/v1/traces")
    told = chain.Told.from_environment("chain", "3")
    told.batch([UNTRACED], [{}], [chain.Passed("features", 0, 1, [0])])
    told.close()
