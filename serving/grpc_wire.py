"""The chain over gRPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ensembles.errors import (
    DeadlineExceeded,
    InvalidRequest,
    MissingExtra,
    RequestError,
    ServerUnavailable,
)
from serving.messages import UNLOADED, WireTensor, without_prefix


def load() -> tuple[Any, Any, Any]:
    """The modules ``grpc``, ``service_pb2`` and ``service_pb2_grpc``.

    Raises:
        MissingExtra: tritonclient is not installed.
    """
    try:
        import grpc
        from tritonclient.grpc import service_pb2, service_pb2_grpc
    except ImportError as e:
        raise MissingExtra("tritonclient", "serve") from e
    return grpc, service_pb2, service_pb2_grpc


def message(
    service_pb2: Any, model: str, tensors: Sequence[WireTensor], request_id: str = ""
) -> Any:
    """The request as ``ModelInferRequest``; its id comes back, and stands in Triton's traces."""
    request = service_pb2.ModelInferRequest(
        model_name=model,
        id=request_id,
        raw_input_contents=[t.content for t in tensors if not t.region],
    )
    for t in tensors:
        added = request.inputs.add(name=t.spec.name, datatype=t.spec.datatype, shape=t.shape)
        if t.region:
            added.parameters["shared_memory_region"].string_param = t.region
            added.parameters["shared_memory_byte_size"].int64_param = len(t.content)
    return request


def contents(reply: Any) -> tuple[dict[str, bytes], str]:
    """Raw tensors by name, and the model version, out of a ``ModelInferResponse``."""
    names = [output.name for output in reply.outputs]
    return dict(zip(names, reply.raw_output_contents, strict=False)), reply.model_version


def error(failure: Any) -> RequestError:
    """The error that a ``grpc.RpcError`` or ``grpc.aio.AioRpcError`` stands for."""
    kinds = {
        "INVALID_ARGUMENT": InvalidRequest,
        "RESOURCE_EXHAUSTED": InvalidRequest,
        "DEADLINE_EXCEEDED": DeadlineExceeded,
        "UNAVAILABLE": ServerUnavailable,
    }
    status = failure.code().name
    text = without_prefix(failure.details() or "") or f"the server answered gRPC status {status}"
    return ServerUnavailable(text) if UNLOADED in text else kinds.get(status, RequestError)(text)
