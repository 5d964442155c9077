"""gRPC over TLS, with certificates that the documented script makes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

import millirank
from ensembles.errors import ServerUnavailable
from ensembles.profiles import Knobs
from serving.async_client import AsyncClient
from serving.client import TLS, Client, Request
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from serving.tls import ServerTls
from tests.triton.tiny import Tiny, make_release

SCRIPT = Path(__file__).resolve().parents[2] / "docker/tls/make_certificates.sh"
USER = Request("user-2")


@dataclass(frozen=True)
class Served:
    server: TritonServer
    ours: Path
    others: Path
    """Folders of the certificates of two CAs; the server's are of the first."""

    def client(self, ca: Path | None, own: Path | None = None) -> Client:
        tls = TLS(
            ca / "ca.crt" if ca else None,
            own / "client.crt" if own else None,
            own / "client.key" if own else None,
        )
        return Client(self.server.grpc, tls=tls)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_release(tmp_path_factory.mktemp("tls"), 3, Knobs(instances=1), fused=True)


def certificates(folder: Path) -> Path:
    subprocess.run([SCRIPT, folder, "localhost", "127.0.0.1"], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module", params=["one-sided", "mutual"])
def served(
    request: pytest.FixtureRequest, tiny: Tiny, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("certificates")
    ours, others = certificates(folder / "ours"), certificates(folder / "others")
    tls = ServerTls(
        ours / "server.crt",
        ours / "server.key",
        ours / "ca.crt" if request.param == "mutual" else None,
    )
    options = ServerOptions(host="0.0.0.0", ports=Ports(0, 0, 0), tls=tls)
    with TritonServer(tiny.repository, options) as server:
        yield Served(server, ours, others)


async def test_a_client_with_the_ca_gets_an_answer(served: Served) -> None:
    with served.client(served.ours, served.ours) as client:
        answer = client.recommend(USER)
    ours = served.ours
    tls = TLS(str(ours / "ca.crt"), str(ours / "client.crt"), str(ours / "client.key"))
    async with AsyncClient(served.server.grpc, tls=tls) as client:
        assert (await client.recommend(USER)).items == answer.items


def test_a_client_with_another_ca_is_told_about_tls(served: Served) -> None:
    with (
        served.client(served.others, served.ours) as client,
        pytest.raises(ServerUnavailable, match=r"over TLS: .*VERIFY_FAILED.* trusts .*/others/"),
    ):
        client.recommend(USER)


def test_a_plain_client_is_refused_and_told(served: Served) -> None:
    with (
        Client(served.server.grpc) as client,
        pytest.raises(ServerUnavailable, match="give the client its CA"),
    ):
        client.recommend(USER)


def test_where_both_show_certificates_a_client_without_one_is_refused(served: Served) -> None:
    assert served.server.options.tls
    mutual = served.server.options.tls.client_ca is not None
    for own in (None, served.others):
        with served.client(served.ours, own) as client:
            if not mutual:
                assert client.recommend(USER).items
                continue
            with pytest.raises(ServerUnavailable, match="no connection over TLS"):
                client.recommend(USER)


def test_http_which_has_no_tls_listens_on_this_machine_only(served: Served) -> None:
    sockets = psutil.Process(served.server.pid).net_connections()
    listening = {c.laddr.port: c.laddr.ip for c in sockets if c.status == "LISTEN"}
    ports = served.server.ports
    assert listening[ports.http].removeprefix("::ffff:") == "127.0.0.1"
    assert listening[ports.grpc] in {"0.0.0.0", "::"}


def test_recommend_from_the_command_line(served: Served, tiny: Tiny) -> None:
    ours = served.ours
    command = ["recommend", "--user=user-2", "--server", served.server.grpc]
    command += [f"--repository={tiny.repository}", f"--tls-ca={ours / 'ca.crt'}"]
    command += [f"--tls-cert={ours / 'client.crt'}", f"--tls-key={ours / 'client.key'}"]
    result = CliRunner().invoke(millirank.cli, command, catch_exceptions=False)
    assert result.exit_code == 0
    assert "recommendations for user user-2" in " ".join(result.output.split())
    command[5] = f"--tls-ca={served.others / 'ca.crt'}"
    with pytest.raises(ServerUnavailable, match="over TLS"):
        CliRunner().invoke(millirank.cli, command, catch_exceptions=False)


def test_the_script_renews_with_the_same_ca_and_key(tmp_path: Path) -> None:
    folder = certificates(tmp_path / "made")
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    (folder / "server.crt").unlink()
    certificates(folder)
    after = {f.name: f.read_bytes() for f in folder.iterdir()}
    changed = {name for name in before if before[name] != after[name]}
    assert {"server.crt"} <= changed <= {"server.crt", "ca.srl"}
    assert {f.name for f in folder.iterdir() if f.stat().st_mode & 0o077} == {
        "ca.crt",
        "server.crt",
        "client.crt",
    }
    verify = ["openssl", "verify", "-CAfile", "ca.crt", "server.crt", "client.crt"]
    subprocess.run(verify, cwd=folder, check=True, capture_output=True)
