"""A load that goes to a server that runs already."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from ensembles.errors import LoadTestError
from loadtest.command import loadtest
from loadtest.target import Target
from serving.ports import Ports


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "recommend" / "3").mkdir(parents=True)
    (tmp_path / "recommend" / "config.pbtxt").write_text("  versions: 3\n")
    return tmp_path


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Says that it serves release 4."""

    class Metadata(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/v2/models/recommend"
            body = json.dumps({"name": "recommend", "versions": ["4"]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_host_and_three_ports() -> None:
    assert Target.parse("server", "8000,1,65535") == Target("server", Ports(8000, 1, 65535))


@pytest.mark.parametrize(
    ("host", "ports"),
    [("", "1,2,3"), ("host:8000", "1,2,3"), ("host", "1,2"), ("host", "1,2,x"), ("host", "")],
)
def test_anything_else_is_refused(host: str, ports: str) -> None:
    with pytest.raises(LoadTestError, match="expected a host as in"):
        Target.parse(host, ports)


def test_another_release_is_refused(repository: Path, server: ThreadingHTTPServer) -> None:
    target = Target("127.0.0.1", Ports(server.server_port, 1, 2))
    with pytest.raises(LoadTestError, match="serves release 4, but .* release 3"):
        target.check_serves(repository)


def test_the_same_release_is_taken(repository: Path, server: ThreadingHTTPServer) -> None:
    (repository / "recommend" / "4").mkdir()
    (repository / "recommend" / "config.pbtxt").write_text("  versions: 4\n")
    Target("127.0.0.1", Ports(server.server_port, 1, 2)).check_serves(repository)


def test_nobody_answers(repository: Path) -> None:
    ports = f"{Ports(0, 0, 0).settle('127.0.0.1').http},1,2"
    result = CliRunner().invoke(
        loadtest, [str(repository), "--server", "127.0.0.1", "--ports", ports]
    )
    assert isinstance(result.exception, LoadTestError)
    assert "expected a server of ours at http://127.0.0.1" in str(result.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--ports", "1,2,3"], "name it"),
        (["--server", "x", "--scenario", "steady", "--otlp", "http://x"], "--otlp goes with"),
        (["--server", "x", "--find-limit"], "--server goes with a smoke test or --scenario"),
    ],
)
def test_options_that_would_be_ignored_are_refused(options: list[str], message: str) -> None:
    result = CliRunner().invoke(loadtest, options)
    assert result.exit_code == 2
    assert message in result.output
