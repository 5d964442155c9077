"""``millirank serve`` as a process of its own, and what it writes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Serving:
    """A server that runs, or did; ``lines`` are complete after its end."""

    process: subprocess.Popen[str]
    http: str = ""
    grpc: str = ""
    lines: list[str] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        """What it wrote in JSON; anything else is an error."""
        return [json.loads(line) for line in self.lines]

    def requests(self) -> list[dict[str, Any]]:
        """Lines of the request log."""
        return [e for e in self.events() if e.get("event") == "request"]


@contextmanager
def serving(repository: Path, *options: str) -> Iterator[Serving]:
    """Serve ``repository`` on free ports; stopped by SIGTERM, as a container is."""
    command = [sys.executable, str(ROOT / "millirank.py"), "serve", str(repository), *options]
    command += ["--http-port=0", "--grpc-port=0", "--metrics-port=0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as process:
        server = Serving(process)
        assert process.stdout
        for line in process.stdout:
            server.lines.append(line.rstrip("\n"))
            if found := re.search(r"ready: HTTP (\S+), gRPC (\S+), metrics", line):
                server.http, server.grpc = found[1], found[2]
                break
        rest = threading.Thread(
            target=lambda: server.lines.extend(line.rstrip("\n") for line in process.stdout or ())
        )
        rest.start()
        try:
            assert server.grpc, server.lines
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            rest.join()
