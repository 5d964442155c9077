"""The inference protocol that Triton speaks over HTTP, on the side of a server.

Peers take the very bytes that Triton takes. Two of them cannot read binary bodies and one wants a
list around each request; for these the same request is written as JSON.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import numpy as np

from ensembles.errors import RequestError
from loadtest.peers.chain import Tensors
from serving import http_wire
from serving.messages import Recommendation, Request, decode, encode, split_bytes

_TYPES = {"INT32": np.dtype("<i4"), "FP32": np.dtype("<f4")}
_CODES = {"item_id": "BYTES", "score": "FP32"}
JSON_HEADERS = {"Content-Type": "application/json"}


class Form(StrEnum):
    """How a server wants its requests."""

    BINARY = "binary"
    JSON = "json"
    JSON_LIST = "JSON list"


def read_binary(body: bytes, json_length: str | None) -> dict[str, Any]:
    """Tensors of a request with binary tensors; ``json_length`` is ``LENGTH_HEADER``'s value."""
    at = int(json_length or len(body))
    tensors: dict[str, Any] = {}
    for described in json.loads(body[:at])["inputs"]:
        size, shape = described["parameters"]["binary_data_size"], described["shape"]
        content, at = body[at : at + size], at + size
        if described["datatype"] == "BYTES":
            tensors[described["name"]] = _strings(split_bytes(content), shape)
        else:
            dtype = _TYPES[described["datatype"]]
            tensors[described["name"]] = np.frombuffer(content, dtype).reshape(shape)
    return tensors


def read_json(request: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of a request whose values stand in the JSON."""
    tensors: dict[str, Any] = {}
    for given in request["inputs"]:
        if given["datatype"] == "BYTES":
            values = [text.encode() for text in given["data"]]
            tensors[given["name"]] = _strings(values, given["shape"])
        else:
            dtype = _TYPES[given["datatype"]]
            tensors[given["name"]] = np.array(given["data"], dtype).reshape(given["shape"])
    return tensors


def _strings(values: Sequence[bytes], shape: Sequence[int]) -> Any:
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array.reshape(shape)


def write_binary(answer: Tensors) -> tuple[bytes, dict[str, str]]:
    """Body and headers of an answer with binary tensors."""
    raw = {
        "item_id": b"".join(struct.pack("<I", len(i)) + i for i in answer["item_id"].flat),
        "score": answer["score"].tobytes(),
    }
    outputs = [
        {
            "name": name,
            "datatype": _CODES[name],
            "shape": list(answer[name].shape),
            "parameters": {"binary_data_size": len(content)},
        }
        for name, content in raw.items()
    ]
    text = json.dumps({"model_version": "1", "outputs": outputs}).encode()
    return text + b"".join(raw.values()), {http_wire.LENGTH_HEADER: str(len(text))}


def write_json(answer: Tensors) -> dict[str, Any]:
    """An answer whose values stand in the JSON."""
    data = {
        "item_id": [item.decode() for item in answer["item_id"].flat],
        "score": answer["score"].ravel().tolist(),
    }
    outputs = [
        {"name": n, "datatype": _CODES[n], "shape": list(answer[n].shape), "data": values}
        for n, values in data.items()
    ]
    return {"model_name": "recommend", "model_version": "1", "outputs": outputs}


def request_body(form: Form, request: Request) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request for one user, in the form that a server wants."""
    if form is Form.BINARY:
        return http_wire.body(encode([request]))
    values: dict[str, tuple[str, Sequence[Any]]] = {
        "user_id": ("BYTES", [request.user_id]),
        "k": ("INT32", [request.k]),
        "candidates": ("BYTES", list(request.candidates or ())),
        "recent": ("BYTES", list(request.recent or ())),
    }
    inputs = [
        {"name": name, "datatype": code, "shape": [1, len(data)], "data": data}
        for name, (code, data) in values.items()
        if data  # MLServer stacks tensors only where there are values
    ]
    content = {"inputs": inputs}
    return json.dumps([content] if form is Form.JSON_LIST else content).encode(), JSON_HEADERS


def read_reply(form: Form, reply: bytes, json_length: str | None) -> Recommendation:
    """What a server answered for one user.

    Raises:
        RequestError: the reply has another form.
    """
    if form is Form.BINARY:
        contents, release = http_wire.contents(reply, json_length)
        (answer,) = decode(contents, 1, release, 0.0)
        return answer
    try:
        found = json.loads(reply)
        found = found[0] if form is Form.JSON_LIST else found
        data = {output["name"]: output["data"] for output in found["outputs"]}
        return Recommendation(tuple(data["item_id"]), tuple(data["score"]), 1, 0.0)
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise RequestError(f"expected an inference reply in JSON, got {e!r}") from e
