"""One served release, seen from outside: a trace from the client to the stages, and the log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from ensembles.errors import RequestError
from ensembles.profiles import Knobs
from serving import grpc_wire
from serving.client import Client, ProtocolName, Request
from serving.manifest import write_manifest
from serving.messages import encode
from tests.otlp_receiver import Collector, Span, otlp_receiver
from tests.triton.serve_process import Serving, serving
from tests.triton.tiny import make_release

STAGES = ["features", "ranker", "policy"]
CHAIN = ["caller", "millirank.recommend", "InferRequest", "recommend", "features_ranker_policy"]
TOKEN = "a-token-that-no-log-shows"
RAW_IDS = ["user-1", "user-2", "user-3", "unheard-of-user", "item-7", "no-such-item"]


@dataclass
class Seen:
    """What was asked of the server, and what came of it."""

    collector: Collector
    server: Serving
    answered: dict[ProtocolName, tuple[str, str]] = field(default_factory=dict)
    """Of each protocol the trace that the request was made in, and the request's id."""
    spans: list[Span] = field(default_factory=list)

    def chain(self, protocol: ProtocolName) -> dict[str, Span]:
        """Spans of the protocol's trace by name; the compute span of Triton's left out."""
        spans = [s for s in self.spans if s.trace == self.answered[protocol][0]]
        return {s.name: s for s in spans if s.name != "compute"}


@pytest.fixture(scope="module")
def tracers(collector: Collector) -> Iterator[TracerProvider]:
    """As an application sets OpenTelemetry up."""
    provider = TracerProvider(
        ParentBased(TraceIdRatioBased(1.0)), Resource({"service.name": "application"})
    )
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(collector.url)))
    with pytest.MonkeyPatch.context() as patch:  # a provider that is set is set for all tests
        patch.setattr(trace, "get_tracer", provider.get_tracer)
        yield provider
    provider.shutdown()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with otlp_receiver() as running:
        yield running


@pytest.fixture(scope="module")
def seen(
    collector: Collector, tracers: TracerProvider, tmp_path_factory: pytest.TempPathFactory
) -> Seen:
    """A server that traces only what comes with a trace, and logs everything; all traffic of
    these tests, to its end."""
    root = tmp_path_factory.mktemp("telemetry")
    tiny = make_release(root, release=3, knobs=Knobs(instances=1), fused=True)
    write_manifest(tiny.repository, 3, {})
    (root / "token").write_text(TOKEN)
    options = ["--log-format=json", "--log-every=1", f"--token-file={root / 'token'}"]
    options += [f"--otlp={collector.url}", "--trace-every=1000000"]
    with serving(tiny.repository, *options) as server:
        seen = Seen(collector, server)
        for protocol, address in (("grpc", server.grpc), ("http", server.http)):
            _trace(seen, tracers, protocol, address)  # type: ignore[arg-type]
            _mix(address, protocol)  # type: ignore[arg-type]
        _unsampled(server.grpc)
        traces = {of for of, _ in seen.answered.values()}
        wanted = len(traces) * (len(CHAIN) + 1 + len(STAGES))
        collector.wait_for(lambda spans: sum(s.trace in traces for s in spans) >= wanted)
    seen.spans = list(collector.spans)
    return seen


def _trace(seen: Seen, tracers: TracerProvider, protocol: ProtocolName, address: str) -> None:
    with Client(address, protocol) as client:
        client.recommend(Request("user-1"))  # the trace begins when everything is warm
        with tracers.get_tracer("application").start_as_current_span("caller") as span:
            answer = client.recommend(Request("user-2", k=5))
        seen.answered[protocol] = (f"{span.get_span_context().trace_id:032x}", answer.request_id)


def _mix(address: str, protocol: ProtocolName) -> None:
    """Requests of every kind, wrong ones among them, with ids that no log may show."""
    unsampled = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
    with Client(address, protocol) as client, trace.use_span(unsampled):
        client.recommend_many([Request(f"user-{n}") for n in (1, 2, 3)])
        client.recommend(Request("unheard-of-user", recent=["item-7", "no-such-item"]))
        for wrong in (
            Request("user-3", k=0),
            Request("user-3", candidates=["no-such-item"]),
            Request("user-3" * 200),
            Request("user-3", recent=["item-7" * 100]),
            Request("user-3", image=b"user-3"),
        ):
            with suppress(RequestError):
                client.recommend(wrong)


def _unsampled(address: str) -> None:
    """A request of another client, with a user's id in its own."""
    grpc, messages, services = grpc_wire.load()
    with grpc.insecure_channel(address) as channel:
        asked = grpc_wire.message(messages, "recommend", encode([Request("user-3")]), "of user-3")
        services.GRPCInferenceServiceStub(channel).ModelInfer(asked)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_one_trace_from_the_caller_to_the_stages(seen: Seen, protocol: ProtocolName) -> None:
    spans = seen.chain(protocol)
    assert sorted(spans) == sorted([*CHAIN, *STAGES])
    ancestors = [spans[name] for name in CHAIN]
    assert [s.parent for s in ancestors] == ["", *(s.id for s in ancestors[:-1])]
    assert {spans[stage].parent for stage in STAGES} == {spans["features_ranker_policy"].id}
    services = {name: span.service for name, span in spans.items()}
    assert {services[n] for n in CHAIN[:2]} == {"application"}
    assert {services[n] for n in [*CHAIN[2:], *STAGES]} == {"millirank"}
    assert spans["recommend"].attributes["triton.request_id"] == seen.answered[protocol][1]
    assert (
        spans["millirank.recommend"].attributes["millirank.request_id"]
        == (seen.answered[protocol][1])
    )


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_moments_lie_within_one_another(seen: Seen, protocol: ProtocolName) -> None:
    """Of several processes: each put its monotonic clock on the wall's by itself."""
    spans, slack = seen.chain(protocol), 5_000_000
    begun = [spans[name].start for name in [*CHAIN, *STAGES]]
    ended = [spans[name].end for name in [*STAGES, *CHAIN[:1:-1]]]  # Triton's end after the answer
    for moments in (begun, ended):
        assert all(b >= a - slack for a, b in pairwise(moments)), moments
    features, ranker, policy = (spans[stage] for stage in STAGES)
    assert features.start < features.end == ranker.start < ranker.end == policy.start < policy.end


def test_only_what_is_sampled_is_traced(seen: Seen) -> None:
    """The caller's sampling decides, not the server's."""
    roots = [s for s in seen.spans if s.name == "InferRequest"]
    warm = [s.trace for s in seen.spans if s.name == "millirank.recommend" and not s.parent]
    assert sorted(s.trace for s in roots) == sorted(
        [*warm, *(t for t, _ in seen.answered.values())]
    )


def test_every_line_is_json(seen: Seen) -> None:
    events = seen.server.events()
    assert {"millirank", "tritonserver", "features_ranker_policy"} <= {e["source"] for e in events}
    for event in events:
        assert {"time", "level", "source", "message"} <= event.keys()
        assert event["time"].endswith("Z")
        assert datetime.fromisoformat(event["time"]).tzinfo
        assert event["level"] in {"info", "warning", "error"}
    assert events[-1]["message"] == "stopped"
    alarming = [e for e in events if e["level"] != "info" and e.get("event") != "request"]
    assert alarming == []


def test_no_raw_id_and_no_token_in_the_log(seen: Seen) -> None:
    log = "\n".join(seen.server.lines)
    assert len(seen.server.requests()) > 15
    for raw in [*RAW_IDS, TOKEN]:
        assert raw not in log


def test_requests_are_logged_with_what_became_of_them(seen: Seen) -> None:
    lines = {e["request_id"]: e for e in seen.server.requests()}
    good = lines[seen.answered["grpc"][1]]
    assert (good["k"], good["rows"], good["release"], good["error"]) == (5, 1, 3, "")
    assert (good["cold_starts"], good["degraded"], good["candidates"]) == (0, False, 20)
    assert list(good["stage_ms"]) == STAGES
    assert min(good["stage_ms"].values()) > 0
    assert good["users"] == lines[seen.answered["http"][1]]["users"]  # the same user
    assert re.fullmatch("[0-9a-f]{16}", good["users"][0])
    failed = [e for e in seen.server.requests() if e["error"]]
    assert {e["error"] for e in failed} >= {
        "k: expected 1 to 100, got 0",
        "candidates: none of the given ids is known in this release",
    }
    assert all(e["level"] == "warning" and list(e["stage_ms"]) == ["features"] for e in failed)
    (many,) = {tuple(e["users"]) for e in seen.server.requests() if e["rows"] == 3}
    assert len(set(many)) == 3
    assert good["users"][0] in many
