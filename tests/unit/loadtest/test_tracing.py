from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ensembles.errors import LoadTestError
from loadtest.tracing import Tracing

Asked = list[tuple[str, bytes]]


class Server(BaseHTTPRequestHandler):
    """Takes the right token, and no other."""

    asked: Asked

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = self.headers["millirank-token"] == "right"
        self.asked.append((self.path, body))
        self.send_response(200 if right else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    Server.asked = []
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_is_on_for_as_long_as_it_lasts(address: str) -> None:
    with Tracing("/somewhere").on(address, "right"):
        assert Server.asked == [("/v2/trace/setting", b'{"trace_level": ["TIMESTAMPS"]}')]
    assert Server.asked[1:] == [("/v2/trace/setting", b'{"trace_level": ["OFF"]}')]


def test_a_server_that_does_not_trace(address: str) -> None:
    context = Tracing("/somewhere").on(address, "wrong")
    with pytest.raises(LoadTestError, match=r"trace level to TIMESTAMPS: .*403"):
        context.__enter__()


def test_nothing_is_traced_when_the_server_starts() -> None:
    here, elsewhere = Tracing("/a"), Tracing("/a", 20, "http://127.0.0.1:4318/v1/traces")
    assert "--trace-config=triton,file=/a/traces" in here.flags
    assert "--trace-config=opentelemetry,url=http://127.0.0.1:4318/v1/traces" in elsewhere.flags
    assert "--trace-config=rate=20" in elsewhere.flags
    assert all("--trace-config=level=OFF" in tracing.flags for tracing in (here, elsewhere))
    assert (here.stage_log, elsewhere.stage_log) == ("/a/stages", "")


def test_wrong_settings() -> None:
    with pytest.raises(LoadTestError, match="is a URL"):
        Tracing("/a", otlp="localhost")
    with pytest.raises(LoadTestError, match="got 0"):
        Tracing("/a", every=0)
