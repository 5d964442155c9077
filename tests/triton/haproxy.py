"""HAProxy with the configuration that users get, in front of two servers of a test."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import pytest

from serving.ports import Ports
from tests.redis_server import free_port

TEMPLATE = Path(__file__).resolve().parents[2] / "docker" / "haproxy" / "haproxy.cfg"
RETRIES = (
    "    retries 3\n    option redispatch 1\n    retry-on conn-failure empty-response 404 503\n"
)


def configuration(front: Ports, servers: tuple[Ports, Ports], retries: str = RETRIES) -> str:
    """The template with these ports of 127.0.0.1, and with these lines about retries."""
    text = TEMPLATE.read_text(encoding="utf-8")
    assert text.count(RETRIES) == 1
    text = text.replace(RETRIES, retries)
    text = text.replace("bind :8000", f"bind 127.0.0.1:{front.http}")
    text = text.replace("bind :8001", f"bind 127.0.0.1:{front.grpc}")
    for number, ports in enumerate(servers, 1):
        text = text.replace(f"server-{number}:8000", f"127.0.0.1:{ports.http}")
        text = re.sub(
            rf"server-{number}:8001(.*)port 8000",
            rf"127.0.0.1:{ports.grpc}\1port {ports.http}",
            text,
        )
    assert not re.search(r"server-\d|:800\d|port 800\d", text)
    return text


class Proxy:
    """``with Proxy(folder, servers) as proxy``; skips the test where HAProxy is not installed."""

    def __init__(self, folder: Path, servers: tuple[Ports, Ports], retries: str = RETRIES) -> None:
        self.ports = Ports(free_port(), free_port(), 0)
        self._file = folder / "haproxy.cfg"
        self._file.write_text(configuration(self.ports, servers, retries), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        found = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
        if found is None:
            pytest.skip("haproxy is not installed (Debian: apt-get install haproxy)")
        log = self._file.with_suffix(".log").open("wb")
        with log:
            self._process = subprocess.Popen([found, "-db", "-f", self._file], stderr=log)
        deadline = time.monotonic() + 10
        while not self._listens():
            assert self._process.poll() is None, self._file.with_suffix(".log").read_text()
            assert time.monotonic() < deadline, "haproxy did not start"
            time.sleep(0.02)
        return self

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.ports.http), timeout=1).close()
        except OSError:
            return False
        return True

    def __exit__(self, *exception: Any) -> None:
        assert self._process
        self._process.terminate()
        self._process.wait()
