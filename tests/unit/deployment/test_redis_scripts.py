"""Redis starts with the password of a file, and the health check knows whether it answers."""

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.deployment.files import DOCKER

PASSWORD = "the-word-of-a-file"


@pytest.mark.skipif(not shutil.which("redis-server"), reason="apt-get install redis-server")
def test_redis_wants_the_password_of_the_file(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
    for folder in ("etc/redis", "run/secrets", "tmp", "data"):
        (tmp_path / folder).mkdir(parents=True)
    etc, secret = tmp_path / "etc" / "redis", tmp_path / "run" / "secrets" / "redis_password"
    for name in ("redis.conf", "start.sh", "ready.sh"):
        text = (DOCKER / "redis" / name).read_text()
        text = re.sub(r"(?<![\w!])/(etc/redis|run/secrets|tmp|data)\b", rf"{tmp_path}/\1", text)
        text = text.replace("port 6379", f"bind 127.0.0.1\nport {port}")
        (etc / name).write_text(text.replace("redis-cli ping", f"redis-cli -p {port} ping"))
    secret.write_text(f"{PASSWORD}\n")
    command = ["/bin/sh", str(etc / "start.sh")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as redis:
        try:
            deadline = time.monotonic() + 30
            while ready(etc) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert ready(etc) == 0
            assert PASSWORD not in Path(f"/proc/{redis.pid}/cmdline").read_text()
            ask = ["redis-cli", "-p", str(port), "get", "x"]
            refused = subprocess.run(ask, capture_output=True, text=True, check=False)
            assert "NOAUTH" in refused.stdout
            secret.write_text("another\n")
            assert ready(etc) != 0
        finally:
            redis.terminate()
            assert redis.wait(20) == 0  # the shell made way for Redis, which saved and ended


def ready(folder):
    command = ["/bin/sh", str(folder / "ready.sh")]
    return subprocess.run(command, capture_output=True, check=False).returncode
