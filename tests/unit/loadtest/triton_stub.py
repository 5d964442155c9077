"""A stand-in for Triton's HTTP front end, with statistics that are known exactly."""

from __future__ import annotations

import json
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

STEPS = ("features", "ranker", "policy")
VISUAL_STEPS = ("preprocess", "image_encoder", *STEPS)
TIMES_MS = {
    "preprocess": (0.1, 0.1, 1.2, 0.2),
    "image_encoder": (0.1, 0.2, 5.5, 0.1),
    "features": (0.1, 0.2, 1.5, 0.3),
    "ranker": (0.2, 0.1, 2.8, 0.1),
    "policy": (0.1, 0.1, 0.3, 0.1),
}
"""Queue, compute_input, compute_infer, compute_output of every request."""
ENSEMBLE_MS = 6.0
VISUAL_MS = 14.0

PICTURES = [bytes([i]) * (20_000 + i) for i in range(5)]
"""No pictures, but what a release would hold in their place."""


def _model(name: str, count: int, phases_ms: tuple[float, ...], total_ms: float) -> dict[str, Any]:
    names = ("queue", "compute_input", "compute_infer", "compute_output")
    stats = {
        phase: {"count": count, "ns": round(ms * 1e6) * count}
        for phase, ms in zip(names, phases_ms, strict=True)
    }
    stats["success"] = {"count": count, "ns": round(total_ms * 1e6) * count}
    return {"name": name, "version": "1", "inference_stats": stats}


def _answer(item: bytes) -> tuple[bytes, int]:
    contents = {"item_id": struct.pack("<I", len(item)) + item, "score": struct.pack("<f", 1.0)}
    outputs = [
        {
            "name": name,
            "datatype": "BYTES" if name == "item_id" else "FP32",
            "shape": [1, 1],
            "parameters": {"binary_data_size": len(content)},
        }
        for name, content in contents.items()
    ]
    text = json.dumps({"model_name": "recommend", "model_version": "3", "outputs": outputs})
    return text.encode() + b"".join(contents.values()), len(text)


@dataclass
class TritonStub:
    """Answers after ``seconds``; with ``refuse``, every so many requests get HTTP 503.

    The answer is item 7 to the first ``right`` requests, and item 8 to those after them.
    From request ``pause_at`` on, all wait until ``pause_seconds`` have passed.

    ``answered`` and ``answered_visual`` count answers of ``recommend`` and ``recommend_visual``.
    """

    port: int = 0
    seconds: float = 0.0
    refuse: int = 0
    right: int = 1_000_000
    pause_at: int = -1
    pause_seconds: float = 0.2
    paused_until: float = 0.0
    answered: int = 0
    answered_visual: int = 0
    bodies: list[bytes] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, path: str) -> Any:
        if path in self.overrides:
            return self.overrides[path]
        if path == "/v2/models/stats":
            n, m = self.answered, self.answered_visual
            steps = [_model(s, n + m if s in STEPS else m, t, sum(t)) for s, t in TIMES_MS.items()]
            ensembles = [
                _model("recommend", n, (0.0, 0.4, 4.6, 0.5), ENSEMBLE_MS),
                _model("recommend_visual", m, (0.0, 0.6, 11.3, 0.8), VISUAL_MS),
            ]
            return {"model_stats": [*steps, *ensembles]}
        for ensemble, chain in (("recommend", STEPS), ("recommend_visual", VISUAL_STEPS)):
            if path == f"/v2/models/{ensemble}/config":
                return {"ensemble_scheduling": {"step": [{"model_name": s} for s in chain]}}
        return {}

    def infer(self, path: str, body: bytes) -> bool:
        time.sleep(self.seconds)
        with self.lock:
            self.bodies.append(body)
            refused = self.refuse and len(self.bodies) % self.refuse == 0
            if len(self.bodies) == self.pause_at:
                self.paused_until = time.monotonic() + self.pause_seconds
            wait = self.paused_until - time.monotonic()
        time.sleep(max(wait, 0.0))
        with self.lock:
            if path == "/v2/models/recommend_visual/infer":
                self.answered_visual += not refused
            else:
                self.answered += not refused
        return not refused


def handler(stub: TritonStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            self._reply(200, json.dumps(stub.get(self.path)).encode())

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if stub.infer(self.path, body):
                item = b"7" if len(stub.bodies) <= stub.right else b"8"
                answer, length = _answer(item)
                self._reply(200, answer, str(length))
            else:
                self._reply(503, b'{"error": "queue full"}')

        def _reply(self, status: int, content: bytes, json_bytes: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            if json_bytes:
                self.send_header("Inference-Header-Content-Length", json_bytes)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
