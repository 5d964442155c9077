"""What is told when a server does not follow; the real one is in tests/triton/test_drain.py."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serving import drain as module
from serving.drain import drain


@dataclass
class Fake:
    """A server whose model repository says what it is told to say."""

    token: str = "t"
    http: str = ""
    loaded: tuple[str, ...] = ("recommend",)
    states: list[str] = field(default_factory=lambda: ["UNAVAILABLE"])
    refuses: bool = False
    waited: list[float | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def wait(self, timeout: float | None = None) -> int | None:
        self.waited.append(timeout)
        return None

    def answer(self, path: str) -> tuple[int, object]:
        self.asked.append(path.removeprefix("/v2/repository/"))
        if self.refuses:
            return 403, {"error": "restricted"}
        if path.endswith("/load"):
            return 400, {}
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return 200, [{"name": "recommend", "state": state}, {"name": "features"}]


@pytest.fixture
def fake() -> Iterator[Fake]:
    told = Fake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["millirank-token"] == "t"
            status, content = told.answer(self.path)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        told.http = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        server.shutdown()
        thread.join()


def test_it_waits_until_the_last_answer_is_out(fake: Fake) -> None:
    fake.states, said = ["READY", "UNLOADING", "UNAVAILABLE"], list[str]()
    drain(fake, 2.5, said.append)
    assert fake.waited == [2.5, module.REFUSE_SECONDS]
    first = ["models/draining/load", "models/recommend/unload"]
    assert fake.asked == [*first, "index", "index"]  # the unload took the first state
    assert len(said) == 1


def test_without_seconds_it_only_finishes(fake: Fake) -> None:
    drain(fake, 0, lambda _: None)
    assert fake.waited == [module.REFUSE_SECONDS]
    assert fake.asked == ["models/recommend/unload", "index"]


def test_what_was_loaded_without_a_name_is_unloaded(fake: Fake) -> None:
    fake.loaded, fake.states = ("*",), ["READY", "UNAVAILABLE"]
    drain(fake, 0, lambda _: None)
    assert fake.asked == ["index", "models/recommend/unload", "index"]


def test_a_request_that_never_ends(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FINISH_SECONDS", 0.05)
    fake.states, said = ["UNLOADING"], list[str]()
    drain(fake, 0, said.append)
    assert "may be lost: recommend had requests in flight after 0.05 s" in said[0]


def test_a_server_that_refuses_and_one_that_is_gone(fake: Fake) -> None:
    fake.refuses, said = True, list[str]()
    drain(fake, 1, said.append)
    assert "expected HTTP status 400, got 403" in said[0]
    assert fake.waited == []
    fake.http = "127.0.0.1:9"
    drain(fake, 1, said.append)
    assert "Connection refused" in said[1]
