"""The proxy's ports are those of the server."""

from __future__ import annotations

import re

from serving.ports import Ports
from tests.triton.haproxy import TEMPLATE


def test_ports_are_the_servers_own() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    ports = Ports()
    assert re.findall(r"bind :(\d+)", text) == [str(ports.http), str(ports.grpc)]
    found = set(re.findall(r"server-\d:(\d+)", text)) | set(re.findall(r"check port (\d+)", text))
    assert found == {str(ports.http), str(ports.grpc)}
