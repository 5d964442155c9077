"""A stand-in for Triton, and for a release."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.loadtest.triton_stub import PICTURES, TritonStub, handler


@pytest.fixture
def triton_stub() -> Iterator[TritonStub]:
    stub = TritonStub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(stub))
    server.daemon_threads = True
    stub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A repository of which only the held-out users and the catalogue exist."""
    folder = tmp_path / "repository" / "recommend" / "3"
    folder.mkdir(parents=True)
    holdout = {"users": [f"u{i}" for i in range(40)], "items": [f"i{i}" for i in range(40)]}
    (folder / "holdout.json").write_text(json.dumps(holdout))
    (folder / "catalogue.json").write_text(json.dumps({f"i{i}": f"Item {i}" for i in range(40)}))
    return tmp_path / "repository"


@pytest.fixture
def visual_release(release: Path) -> Path:
    """The same, of a release that takes pictures."""
    folder = release / "recommend_visual" / "3" / "samples"
    folder.mkdir(parents=True)
    for i, picture in enumerate(PICTURES):
        (folder / f"{i}.jpg").write_bytes(picture)
    return release
