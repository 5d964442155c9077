"""A scenario against the real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from loadtest.record import RunRecord
from loadtest.run import play
from loadtest.scenario import Phase, Scenario
from loadtest.tracing import Tracing
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton.tiny import Tiny, hold_out, make_release

MIXED = Scenario(
    about="a test",
    phases=(Phase(seconds=2, rate=50), Phase(seconds=1, users=2)),
    grpc=0.5,
    pictures=0.2,
    returning=0.5,
    session=5,
    recent=True,
    warm_up_seconds=0.5,
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    tiny = made(tmp_path_factory.mktemp("visual"), visual=True)
    folder = tmp_path_factory.mktemp("traces")
    return _play(tiny.repository, Tracing(str(folder), every=2))


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """URL of an OpenTelemetry endpoint, and what it got."""
    got: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1/traces", got
    server.shutdown()
    server.server_close()
    thread.join()


def made(folder: Path, *, visual: bool) -> Tiny:
    tiny = make_release(folder, release=3, visual=visual, fused=True)
    hold_out(tiny, 3)
    return tiny


def _play(repository: Path, tracing: Tracing) -> RunRecord:
    options = ServerOptions(ports=Ports(0, 0, 0), flags=tracing.flags, stage_log=tracing.stage_log)
    with TritonServer(repository, options) as server:
        return play(
            "mixed",
            MIXED,
            server.ports,
            repository,
            server_pid=server.pid,
            tracing=tracing,
            token=server.token,
        )


def test_everything_is_answered_as_without_load(played: RunRecord) -> None:
    assert played.errors == {}
    assert played.loop == "open and closed"
    assert sum(due < 2 for due in played.due_s) == pytest.approx(100, abs=40)
    assert sum(due >= 2 for due in played.due_s) > 20
    assert played.quality is not None
    assert played.quality.scored > 0
    assert played.quality.same > 0.99
    assert played.quality.ndcg_loaded == pytest.approx(played.quality.ndcg_unloaded, abs=0.01)


def test_half_of_the_requests_are_traced(played: RunRecord) -> None:
    found = played.traced
    assert found is not None
    assert found.stages_measured
    assert found.count == pytest.approx(len(played.latency_ms) / 2, abs=3)
    steps = {step.name for spent in (found.median, found.tail) for step in spent.steps}
    assert steps == {"preprocess", "image_encoder", "features", "ranker", "policy"}
    assert min(found.tail.pieces().values()) >= 0


def test_budgets_and_memory_are_there(played: RunRecord) -> None:
    assert set(played.budgets) == {"recommend", "recommend_visual"}
    assert len(played.memory_mb) >= 4  # the server, and a process a step
    assert min(before for before, _ in played.memory_mb.values()) > 0
    assert RunRecord.from_json(played.to_json()) == played


def test_traces_go_to_an_opentelemetry_endpoint(
    tmp_path: Path, collector: tuple[str, list[bytes]]
) -> None:
    url, spans = collector
    tiny = made(tmp_path, visual=False)
    tracing = Tracing(str(tmp_path), every=1, otlp=url)
    options = ServerOptions(ports=Ports(0, 0, 0), flags=tracing.flags)
    few = Scenario(about="a test", phases=(Phase(seconds=0.5, rate=40),), warm_up_seconds=0)
    with TritonServer(tiny.repository, options) as server:
        ports, token = server.ports, server.token
        run = play("few", few, ports, tiny.repository, tracing=tracing, token=token)
        deadline = time.monotonic() + 20
        while not spans and time.monotonic() < deadline:  # Triton sends every five seconds
            time.sleep(0.1)
    assert run.traced is None
    assert b"triton.request_id" in b"".join(spans)
    assert b"features_ranker_policy" in b"".join(spans)
