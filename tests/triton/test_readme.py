"""The examples of the README, word for word but for the port, against the real server."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving.server import TritonServer

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, containing: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return [block for block in found if containing in block]


@pytest.mark.parametrize("block", blocks("python", "127.0.0.1"))
def test_python_example(block: str, server: TritonServer) -> None:
    script = block.replace("127.0.0.1:8001", server.grpc)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"b?'[^']+'", done.stdout)) == 5


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("block", blocks("bash", "curl"))
def test_curl_example(block: str, server: TritonServer) -> None:
    script = block.replace("127.0.0.1:8000", server.http)
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert '"name":"item_id","datatype":"BYTES","shape":[1,5]' in done.stdout


def test_there_are_examples() -> None:
    assert len(blocks("python", "127.0.0.1")) == 2
    assert len(blocks("bash", "curl")) == 1
