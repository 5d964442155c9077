"""The control interface over HTTP, against a server that notes what it is asked."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ensembles.errors import ServerError, ServerUnavailable
from serving.release.control import Control


class Noting(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, Any, str | None]] = []
        self.status, self.answer = 200, b"{}"


class Handler(BaseHTTPRequestHandler):
    server: Noting

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self._answer(json.loads(body))

    def do_GET(self) -> None:
        self._answer(None)

    def _answer(self, body: Any) -> None:
        self.server.asked.append((self.path, body, self.headers["millirank-token"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.answer)))
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Noting]:
    with Noting() as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def control(server: Noting) -> Control:
    return Control(f"127.0.0.1:{server.server_port}", "secret")


def test_a_model_out_of_no_folder(server: Noting, control: Control) -> None:
    control.load("a", {"name": "a"}, {"1/model.py": b"x"})
    control.load("b")
    control.unload("a")
    (_, loaded, token), (_, plain, _), (path, *_) = server.asked
    assert token == "secret"
    assert json.loads(loaded["parameters"]["config"]) == {"name": "a"}
    assert base64.b64decode(loaded["parameters"]["file:1/model.py"]) == b"x"
    assert plain == {"parameters": {}}
    assert path == "/v2/repository/models/a/unload"


def test_what_is_loaded(server: Noting, control: Control) -> None:
    server.answer = json.dumps(
        [
            {"name": "features", "version": "2", "state": "READY"},
            {"name": "features", "version": "1", "state": "READY"},
            {"name": "ranker", "version": "7", "state": "READY"},
            {"name": "features"},
        ]
    ).encode()
    assert control.versions("features") == [1, 2]
    assert server.asked == [("/v2/repository/index", {"ready": True}, "secret")]


def test_a_model_that_is_not_loaded_has_no_configuration(server: Noting, control: Control) -> None:
    server.answer = b'{"name": "a"}'
    assert control.config("a") == {"name": "a"}
    server.status = 400
    assert control.config("a") is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b'{"error": "no token"}', "no token"), (b"plain", "plain"), (b"", "status 403")],
)
def test_a_refusal_is_passed_on(server: Noting, control: Control, answer: bytes, said: str) -> None:
    server.status, server.answer = 403, answer
    with pytest.raises(ServerError, match=f"refused repository/models/a/load: {said}"):
        control.load("a")


def test_nobody_and_somebody_else(server: Noting, control: Control) -> None:
    server.answer = b"hello"
    with pytest.raises(ServerUnavailable, match="expected Triton at"):
        control.config("a")
    with pytest.raises(ServerUnavailable, match="expected Triton at"):
        Control("127.0.0.1:1", "").unload("a")


class FakeGrpc(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self) -> None:
        self.loaded: list[Any] = []
        self.code: grpc.StatusCode | None = None

    def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        token = dict(context.invocation_metadata())["triton-grpc-protocol-millirank-token"]
        self.loaded.append((token, request))
        if self.code:
            context.abort(self.code, "the reason")
        return service_pb2.RepositoryModelLoadResponse()

    def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        self.loaded.append(request.model_name)
        return service_pb2.RepositoryModelUnloadResponse()


def test_over_grpc_nobody_waits_for_a_model_that_loads() -> None:
    fake, server = FakeGrpc(), grpc.server(ThreadPoolExecutor(1))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    control = Control("127.0.0.1:1", "secret", f"127.0.0.1:{port}")
    control.load("a", {"name": "a"}, {"1/model.py": b"\xff"})
    control.unload("a")
    (token, loaded), unloaded = fake.loaded
    assert (token, loaded.model_name, unloaded) == ("secret", "a", "a")
    assert json.loads(loaded.parameters["config"].string_param) == {"name": "a"}
    assert loaded.parameters["file:1/model.py"].bytes_param == b"\xff"
    fake.code = grpc.StatusCode.INTERNAL
    with pytest.raises(ServerError, match="refused to load a: the reason"):
        control.load("a")
    server.stop(None).wait()
    with pytest.raises(ServerUnavailable, match="expected Triton at"):
        control.load("a")
