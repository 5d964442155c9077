"""A real Redis on a free port, that tests stop, freeze and start again."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import pytest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        return int(holder.getsockname()[1])


class RedisServer:
    """``with RedisServer(folder) as redis``; skips the test where Redis is not installed."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start with what the last ``stop`` has saved."""
        executable = shutil.which("redis-server")
        if executable is None:
            pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
        command = [executable, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--appendonly", "no", "--dir", str(self._folder), *self._flags]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < deadline, "redis-server did not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.command("PING")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """Connections are taken, and nothing is answered."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def command(self, *words: str | bytes) -> bytes:
        """Send one command, and read what fits into one piece of the answer."""
        raw = [w if isinstance(w, bytes) else w.encode() for w in words]
        packed = b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in raw)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as line:
            line.sendall(b"*%d\r\n%b" % (len(raw), packed))
            return line.recv(65536)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.stop()
