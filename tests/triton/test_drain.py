"""SIGTERM under load: what was sent is answered, or refused before it ran; nothing is lost."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from tests.triton.drain_load import CLIENTS_OF_A_KIND, DrainLoad
from tests.triton.test_lifecycle import wait_for
from tests.triton.tiny import Tiny

DRAIN_SECONDS = 1.5


@dataclass
class Served:
    """``millirank serve`` as a process."""

    process: subprocess.Popen[str]
    http: str = ""
    grpc: str = ""
    said: list[str] = field(default_factory=list)

    def read_until(self, word: str) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said.append(line)
            if word in line:
                return
        raise AssertionError(f"no {word!r} in {self.said}")

    def ready(self) -> int:
        with closing(http.client.HTTPConnection(self.http, timeout=5)) as connection:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status


@pytest.fixture
def served(tiny: Tiny) -> Iterator[Served]:
    command = [sys.executable, "-u", "millirank.py", "serve", str(tiny.repository)]
    ports = [f"--{name}-port=0" for name in ("http", "grpc", "metrics")]
    with subprocess.Popen(
        [*command, *ports, f"--drain-seconds={DRAIN_SECONDS}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        served = Served(process)
        try:
            served.read_until("ready:")
            words = served.said[-1].replace(",", "").split()
            served.http, served.grpc = (
                words[words.index("HTTP") + 1],
                words[words.index("gRPC") + 1],
            )
            yield served
        finally:
            process.kill()


def test_sigterm_under_load_loses_nothing(served: Served) -> None:
    load = DrainLoad(served.http, served.grpc)
    wait_for(lambda: min(load.answered().values()) > 10)
    assert served.ready() == 200
    os.kill(served.process.pid, signal.SIGTERM)
    served.read_until("draining")
    assert served.ready() == 400
    before = load.answered()
    load.join()
    served.read_until("stopped")
    assert served.process.wait(30) == 0
    assert not load.lost()
    assert all(count > before[kind] + 10 for kind, count in load.answered().items())
    assert load.refused() == dict.fromkeys(load.kinds, CLIENTS_OF_A_KIND)


def test_asked_twice_it_does_not_wait(served: Served) -> None:
    for _ in range(2):
        os.kill(served.process.pid, signal.SIGTERM)
        served.read_until("draining")
    served.read_until("stopped")
    assert served.process.wait(30) == 0
    assert any("asked again" in line for line in served.said)
