"""Triton's control interface: load and unload models in a running server.

Over gRPC where its address is known: over HTTP tritonserver 2.51 loads a model in one of the
threads that serve connections, and whatever other connections that thread has waits until then.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from ensembles.errors import ServerError, ServerUnavailable
from serving import grpc_wire
from serving.options import GRPC_TOKEN_HEADER, TOKEN_HEADER

LOAD_SECONDS = 300.0
"""A model is answered as loaded once it is warm."""


class Control:
    """The control interface of one server, over HTTP.

    Args:
        address: ``host:port`` of the HTTP front end.
        token: that the server was started with.
        grpc: ``host:port`` of the gRPC front end; ``""`` loads over HTTP.
    """

    def __init__(self, address: str, token: str, grpc: str = "") -> None:
        self.address = address
        self._token = token
        self._grpc = grpc

    def load(
        self,
        model: str,
        config: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Load a model and wait until it is warm; requests in flight end on what was there.

        Args:
            config: stands in for ``config.pbtxt`` in the repository.
            files: by path below the model's folder; stand in for that folder, and need ``config``.

        Raises:
            ServerError: the model does not load, or the token is wrong; what was served goes on.
            ServerUnavailable: nobody answers.
        """
        if self._grpc:
            self._over_grpc("Load", model, config, files or {})
            return
        parameters: dict[str, str] = {}
        if config is not None:
            parameters["config"] = json.dumps(config)
        for path, content in (files or {}).items():
            parameters[f"file:{path}"] = base64.b64encode(content).decode()
        self._post(f"repository/models/{model}/load", {"parameters": parameters})

    def unload(self, model: str) -> None:
        """Unload a model once its requests in flight are answered; nothing where it is not loaded.

        Raises:
            ServerError: the token is wrong.
            ServerUnavailable: nobody answers.
        """
        if self._grpc:
            self._over_grpc("Unload", model, None, {})
        else:
            self._post(f"repository/models/{model}/unload", {})

    def config(self, model: str) -> dict[str, Any] | None:
        """The configuration that a model is served with; None where it is not loaded.

        Raises:
            ServerUnavailable: nobody answers.
        """
        try:
            return dict(self._send(f"models/{model}/config", None))
        except ServerError:
            return None

    def versions(self, model: str) -> list[int]:
        """Versions of a model that are loaded.

        Raises:
            ServerError: the token is wrong.
            ServerUnavailable: nobody answers.
        """
        index = self._post("repository/index", {"ready": True})
        return sorted(int(m["version"]) for m in index if m["name"] == model and m.get("version"))

    def _over_grpc(
        self,
        what: str,
        model: str,
        config: Mapping[str, Any] | None,
        files: Mapping[str, bytes],
    ) -> None:
        grpc, messages, services = grpc_wire.load()
        request = getattr(messages, f"RepositoryModel{what}Request")(model_name=model)
        if config is not None:
            request.parameters["config"].string_param = json.dumps(config)
        for path, content in files.items():
            request.parameters[f"file:{path}"].bytes_param = content
        token = ((GRPC_TOKEN_HEADER, self._token),)
        with grpc.insecure_channel(self._grpc) as channel:
            call = getattr(services.GRPCInferenceServiceStub(channel), f"RepositoryModel{what}")
            try:
                call(request, timeout=LOAD_SECONDS, metadata=token)
            except grpc.RpcError as e:
                if e.code() == grpc.StatusCode.UNAVAILABLE:
                    text = f"expected Triton at {self._grpc}, got: {e.details()}"
                    raise ServerUnavailable(text) from None
                text = f"{self._grpc} refused to {what.lower()} {model}: {e.details()}"
                raise ServerError(text) from None

    def _post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send(path, json.dumps(body).encode())

    def _send(self, path: str, body: bytes | None) -> Any:
        url = f"http://{self.address}/v2/{path}"
        request = urllib.request.Request(url, body, {TOKEN_HEADER: self._token})
        try:
            with urllib.request.urlopen(request, timeout=LOAD_SECONDS) as answer:  # noqa: S310
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as e:
            raise ServerError(f"{self.address} refused {path}: {_reason(e)}") from e
        except (OSError, ValueError) as e:
            raise ServerUnavailable(f"expected Triton at {self.address}, got: {e}") from e


def _reason(error: urllib.error.HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text or f"status {error.code}"
