"""A collector of traces: OTLP over HTTP, kept in memory.

Triton's exporter speaks OTLP in JSON, Python's in protobuf; a collector takes both.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


@dataclass(frozen=True)
class Span:
    """One span as it travels; ids in hexadecimal, moments in ns since 1970."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    attributes: dict[str, Any]


@dataclass
class Collector:
    """What has come in; ``url`` is what exporters are given."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    def wait_for(self, enough: Callable[[list[Span]], object], seconds: float = 30) -> list[Span]:
        """The spans, once ``enough`` of them are there."""
        deadline = time.monotonic() + seconds
        while not enough(self.spans):
            assert time.monotonic() < deadline, f"only {[s.name for s in self.spans]} came"
            time.sleep(0.02)
        return list(self.spans)


def _from_protobuf(body: bytes) -> dict[str, Any]:
    """OTLP's own JSON, where ids are hexadecimal and not base64."""
    message = ExportTraceServiceRequest.FromString(body)
    found: dict[str, Any] = MessageToDict(message)
    for of, resource in zip(message.resource_spans, found["resourceSpans"], strict=True):
        for scope, described in zip(of.scope_spans, resource["scopeSpans"], strict=True):
            for span, text in zip(scope.spans, described["spans"], strict=True):
                text["traceId"], text["spanId"] = span.trace_id.hex(), span.span_id.hex()
                text["parentSpanId"] = span.parent_span_id.hex()
    return found


def _attributes(of: Mapping[str, Any]) -> dict[str, Any]:
    return {a["key"]: next(iter(a["value"].values()), None) for a in of.get("attributes", ())}


def _spans(request: Mapping[str, Any]) -> Iterator[Span]:
    for resource in request["resourceSpans"]:
        service = _attributes(resource["resource"]).get("service.name", "")
        for scope in resource["scopeSpans"]:
            for s in scope["spans"]:
                yield Span(
                    *(service, s["name"], s["traceId"], s["spanId"], s.get("parentSpanId", "")),
                    *(int(s["startTimeUnixNano"]), int(s["endTimeUnixNano"])),
                    _attributes(s),
                )


@contextmanager
def otlp_receiver() -> Iterator[Collector]:
    """A collector on a free port of this machine."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            in_json = "json" in self.headers["Content-Type"]
            collector.spans.extend(_spans(json.loads(body) if in_json else _from_protobuf(body)))
            answer = b"{}" if in_json else ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", self.headers["Content-Type"])
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False  # exporters keep their connections
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        yield collector
        server.shutdown()
        thread.join()
