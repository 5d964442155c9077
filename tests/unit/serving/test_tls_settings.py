"""TLS: files that are no good, and options that do not belong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembles.errors import InvalidRequest, ServerUnavailable, SettingsError
from serving.binary import Installation
from serving.client import TLS, Client
from serving.grpc_channel import named_tls
from serving.options import ServerOptions, command_line
from serving.server import TritonServer
from serving.tls import ServerTls, server_tls_of, tls_of


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    file = tmp_path / "a.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\n")
    return file


def flags(options: ServerOptions) -> list[str]:
    return command_line(Path("/r"), options, Installation(Path("t")), "p")


def test_with_tls_http_stays_on_this_machine(pem: Path) -> None:
    tls = ServerTls(pem, pem)
    line = flags(ServerOptions(host="0.0.0.0", tls=tls))
    assert {"--http-address=127.0.0.1", "--grpc-address=0.0.0.0", "--grpc-use-ssl=1"} <= set(line)
    assert {f"--grpc-server-cert={pem}", f"--grpc-server-key={pem}"} <= set(line)
    assert not [word for word in line if "mutual" in word or "root-cert" in word]
    asked = ServerOptions(host="0.0.0.0", http_host="::1", tls=tls)
    assert "--http-address=::1" in flags(asked)
    assert TritonServer(Path("r"), asked).http == "[::1]:8000"
    assert "--http-address=0.0.0.0" in flags(ServerOptions(host="0.0.0.0"))


def test_mutual_tls(pem: Path) -> None:
    line = flags(ServerOptions(tls=ServerTls(pem, pem, pem)))
    assert {"--grpc-use-ssl-mutual=1", f"--grpc-root-cert={pem}"} <= set(line)


def test_connections_have_no_age_unless_asked_for() -> None:
    assert not [word for word in flags(ServerOptions()) if "connection-age" in word]
    line = flags(ServerOptions(connection_seconds=2.5))
    assert {"--grpc-max-connection-age=2500", "--grpc-max-connection-age-grace=60000"} <= set(line)


def test_files_are_read_before_anything_starts(pem: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*nowhere.* for TLS: No such file"):
        ServerTls(pem, tmp_path / "nowhere")
    (tmp_path / "der").write_bytes(b"\x30\x82")
    with pytest.raises(SettingsError, match="expected a PEM file"):
        TLS(ca=tmp_path / "der")


def test_options_that_belong_together(pem: Path) -> None:
    with pytest.raises(SettingsError, match="give both"):
        TLS(cert=pem)
    for half in ((pem, None, None), (None, pem, None), (None, None, pem)):
        with pytest.raises(SettingsError, match="needs --tls-cert and --tls-key"):
            server_tls_of(*half)
    assert server_tls_of(None, None, None) is None
    assert tls_of(None, None, None) is None
    assert tls_of(pem, None, None) == TLS(pem)
    assert server_tls_of(pem, pem, pem) == ServerTls(pem, pem, pem)


def test_http_has_no_tls_and_one_address(pem: Path) -> None:
    with pytest.raises(SettingsError, match="HTTP has no TLS"):
        Client("x:1", "http", tls=TLS(pem))
    with pytest.raises(SettingsError, match="one HOST:PORT"):
        Client("dns:///x:1", "http")


def test_an_overloaded_server_is_not_taken_for_one_without_tls(pem: Path) -> None:
    busy, wrong = ServerUnavailable("Exceeds maximum queue size"), InvalidRequest("k failing")
    for tls in (None, TLS(pem)):
        assert named_tls(busy, tls) is busy
        assert named_tls(wrong, tls) is wrong
    gone = ServerUnavailable("failed to connect to all addresses; Connection refused")
    assert named_tls(gone, None) is gone
