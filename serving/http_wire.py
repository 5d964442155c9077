"""The chain over HTTP: JSON in front, binary tensors behind."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ensembles.errors import InvalidRequest, RequestError, ServerUnavailable, SettingsError
from serving.messages import UNLOADED, WireTensor, without_prefix
from serving.tls import TLS

LENGTH_HEADER = "Inference-Header-Content-Length"
"""Length of the JSON part, in both directions."""


def check_address(address: str, tls: TLS | None) -> None:
    """Refuse what only gRPC can.

    Raises:
        SettingsError: TLS, or an address that stands for several servers.
    """
    if tls is not None:
        raise SettingsError("Triton's HTTP has no TLS; use protocol 'grpc', or a proxy that has it")
    if "," in address or address.startswith(("dns:", "ipv4:", "ipv6:")):
        raise SettingsError(f"HTTP takes one HOST:PORT, got {address!r}; gRPC takes several")


def path(model: str) -> str:
    """Path that requests are posted to."""
    return f"/v2/models/{model}/infer"


def body(tensors: Sequence[WireTensor], request_id: str = "") -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request; its id comes back, and stands in Triton's traces."""
    inputs = [
        {
            "name": t.spec.name,
            "datatype": t.spec.datatype,
            "shape": t.shape,
            "parameters": {"binary_data_size": len(t.content)}
            if not t.region
            else {"shared_memory_region": t.region, "shared_memory_byte_size": len(t.content)},
        }
        for t in tensors
    ]
    asked = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    text = json.dumps({"id": request_id, **asked} if request_id else asked).encode()
    headers = {LENGTH_HEADER: str(len(text)), "Content-Type": "application/octet-stream"}
    return text + b"".join(t.content for t in tensors if not t.region), headers


def contents(reply: bytes, json_length: str | None) -> tuple[dict[str, bytes], str]:
    """Raw tensors by name, and the model version, out of a good reply.

    Args:
        json_length: value of ``LENGTH_HEADER``, if the reply has one.

    Raises:
        RequestError: the reply has another form.
    """
    try:
        length = int(json_length or len(reply))
        described = json.loads(reply[:length])
        tensors, at = {}, length
        for output in described["outputs"]:
            size = output["parameters"]["binary_data_size"]
            tensors[output["name"]] = reply[at : at + size]
            at += size
        return tensors, described["model_version"]
    except (ValueError, KeyError, TypeError) as e:
        raise RequestError(f"expected an inference reply with binary tensors, got {e!r}") from e


def error(status: int, reply: bytes) -> RequestError:
    """The error that a reply other than 200 stands for."""
    try:
        text = json.loads(reply)["error"]
    except (ValueError, KeyError, TypeError):
        text = reply.decode(errors="replace")[:200]
    kinds = {400: InvalidRequest, 413: InvalidRequest, 503: ServerUnavailable}
    text = without_prefix(text) or f"the server answered HTTP status {status}"
    return ServerUnavailable(text) if UNLOADED in text else kinds.get(status, RequestError)(text)
