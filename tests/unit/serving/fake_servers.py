"""Servers over gRPC and HTTP that answer, or fail, as they are told."""

from __future__ import annotations

import json
import struct
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

ITEM, SCORE = struct.pack("<I", 1) + b"a", struct.pack("<f", 1.5)


class FakeServer:
    """Gives the answers in ``script``, one a call, the last one for ever.

    ``ok`` is an answer; ``slow`` one that takes a second; other words are failures.
    """

    def __init__(self) -> None:
        self.script = ["ok"]
        self.calls = 0
        self.model = ""
        self.inputs: list[str] = []
        self.sentence = "in ensemble 'recommend', the reason"

    def next_word(self) -> str:
        word = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        if word == "slow":
            time.sleep(1)
        return word


class FakeGrpc(FakeServer, service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.model, self.inputs = request.model_name, [i.name for i in request.inputs]
        word = self.next_word()
        if word not in {"ok", "slow"}:
            context.abort(grpc.StatusCode[word], self.sentence)
        reply = service_pb2.ModelInferResponse(model_version="4", raw_output_contents=[ITEM, SCORE])
        reply.outputs.add(name="item_id")
        reply.outputs.add(name="score")
        return reply


class FakeHttp(FakeServer):
    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                length = int(self.headers["Inference-Header-Content-Length"])
                server.model = self.path.split("/")[3]
                server.inputs = [i["name"] for i in json.loads(body[:length])["inputs"]]
                word = server.next_word()
                if word == "vanish":
                    self.close_connection = True
                    return
                good = word in {"ok", "slow"}
                self.send_response(200 if good else int(word))
                if good:
                    outputs = [
                        {"name": n, "parameters": {"binary_data_size": len(c)}}
                        for n, c in (("item_id", ITEM), ("score", SCORE))
                    ]
                    text = json.dumps({"model_version": "4", "outputs": outputs}).encode()
                    self.send_header("Inference-Header-Content-Length", str(len(text)))
                    body = text + ITEM + SCORE
                else:
                    body = json.dumps({"error": server.sentence}).encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        return Handler
