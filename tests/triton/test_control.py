"""What the control token guards, over both protocols, and what it leaves open."""

from __future__ import annotations

import http.client
from contextlib import closing
from typing import Any

import pytest

from serving import grpc_wire
from serving.client import Request
from serving.messages import encode
from serving.options import GRPC_TOKEN_HEADER, TOKEN_HEADER
from serving.server import TritonServer

UNKNOWN = "no-such-model"
"""Loading and unloading it is allowed or not, and does nothing."""
GUARDED_HTTP = [
    ("POST", "/v2/repository/index"),
    ("POST", f"/v2/repository/models/{UNKNOWN}/load"),
    ("POST", f"/v2/repository/models/{UNKNOWN}/unload"),
    *(
        (method, f"/v2/{kind}sharedmemory/{path}")
        for kind in ("system", "cuda")
        for method, path in (
            ("GET", "status"),
            ("GET", "region/x/status"),
            ("POST", "region/x/register"),
            ("POST", "region/x/unregister"),
            ("POST", "unregister"),
        )
    ),
    *((method, "/v2/trace/setting") for method in ("GET", "POST")),
    *((method, "/v2/models/recommend/trace/setting") for method in ("GET", "POST")),
    *((method, "/v2/logging") for method in ("GET", "POST")),
]
DETOURS = ["//v2/repository/index", "/v2/repository/index/", "/v2/repository//index", "/V2/logging"]
OPEN_HTTP = [
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/recommend/ready",
    "/v2",
    "/v2/models/recommend",
    "/v2/models/recommend/config",
    "/v2/models/recommend/stats",
    "/v2/models/stats",
]
GUARDED_GRPC = {
    "RepositoryIndex": {},
    "RepositoryModelLoad": {"model_name": UNKNOWN},
    "RepositoryModelUnload": {"model_name": UNKNOWN},
    "SystemSharedMemoryStatus": {},
    "SystemSharedMemoryRegister": {"name": "x", "key": "/x", "byte_size": 1},
    "SystemSharedMemoryUnregister": {"name": "x"},
    "CudaSharedMemoryStatus": {},
    "CudaSharedMemoryRegister": {"name": "x", "byte_size": 1},
    "CudaSharedMemoryUnregister": {"name": "x"},
    "TraceSetting": {},
    "LogSettings": {},
}
OPEN_GRPC = {
    "ServerLive": {},
    "ServerReady": {},
    "ModelReady": {"name": "recommend"},
    "ServerMetadata": {},
    "ModelMetadata": {"name": "recommend"},
    "ModelConfig": {"name": "recommend"},
    "ModelStatistics": {"name": "recommend"},
}
INFERENCE = {"ModelInfer", "ModelStreamInfer"}


def ask_http(server: TritonServer, method: str, path: str, token: str | None) -> int:
    headers = {} if token is None else {TOKEN_HEADER: token}
    with closing(http.client.HTTPConnection(server.http, timeout=10)) as connection:
        connection.request(method, path, b"{}" if method == "POST" else None, headers)
        return connection.getresponse().status


def ask_grpc(server: TritonServer, name: str, message: Any, token: str | None) -> str:
    """What the server says against the call; ``""`` when it answers."""
    grpc, _, services = grpc_wire.load()
    metadata = () if token is None else ((GRPC_TOKEN_HEADER, token),)
    with grpc.insecure_channel(server.grpc) as channel:
        try:
            call = getattr(services.GRPCInferenceServiceStub(channel), name)
            call(message, timeout=10, metadata=metadata)
        except grpc.RpcError as e:
            return str(e.details())
    return ""


def message(name: str, fields: dict[str, Any]) -> Any:
    _, messages, _ = grpc_wire.load()
    return getattr(messages, f"{name}Request")(**fields)


@pytest.mark.parametrize(("method", "path"), GUARDED_HTTP)
def test_control_needs_the_token_over_http(server: TritonServer, method: str, path: str) -> None:
    assert [ask_http(server, method, path, token) for token in (None, "", "wrong")] == [403] * 3
    assert ask_http(server, method, path, server.token) not in {401, 403}


@pytest.mark.parametrize("path", DETOURS)
def test_no_other_spelling_leads_there(server: TritonServer, path: str) -> None:
    for method in ("GET", "POST", "PUT", "HEAD"):
        assert ask_http(server, method, path, None) >= 400


@pytest.mark.parametrize("path", OPEN_HTTP)
def test_health_metadata_and_statistics_are_open_over_http(server: TritonServer, path: str) -> None:
    assert ask_http(server, "GET", path, None) == 200


@pytest.mark.parametrize("name", GUARDED_GRPC)
def test_control_needs_the_token_over_grpc(server: TritonServer, name: str) -> None:
    asked = message(name, GUARDED_GRPC[name])
    for token in (None, "", "wrong"):
        assert "restricted" in ask_grpc(server, name, asked, token)
    assert "restricted" not in ask_grpc(server, name, asked, server.token)


@pytest.mark.parametrize("name", OPEN_GRPC)
def test_health_metadata_and_statistics_are_open_over_grpc(server: TritonServer, name: str) -> None:
    assert ask_grpc(server, name, message(name, OPEN_GRPC[name]), None) == ""


def test_inference_is_open(server: TritonServer) -> None:
    _, messages, _ = grpc_wire.load()
    asked = grpc_wire.message(messages, "recommend", encode([Request("user-2")]))
    assert ask_grpc(server, "ModelInfer", asked, None) == ""


def test_every_method_of_the_service_is_one_or_the_other() -> None:
    _, messages, _ = grpc_wire.load()
    service = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert {m.name for m in service.methods} == {*GUARDED_GRPC, *OPEN_GRPC, *INFERENCE}
