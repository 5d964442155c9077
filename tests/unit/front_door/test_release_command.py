"""``millirank release``: what it takes, and what it prints of servers that are fakes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import millirank
from ensembles.errors import ReleaseError
from loadtest.release import command
from loadtest.release import trials as trials_module
from loadtest.release.command import Servers, Share
from loadtest.release.probe import Probe
from loadtest.release.window import Snapshot
from serving.release import rollout as rollout_module
from serving.release import session as session_module
from tests.unit.release.fake_server import FakeServer, make_repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repository = make_repository(tmp_path)
    servers: dict[str, FakeServer] = {}

    def control(address: str, token: str, grpc: str) -> FakeServer:
        assert int(grpc.split(":")[1]) in {8001, 9001}
        assert token in {"", "secret"}
        return servers.setdefault(address, FakeServer(repository, address))

    monkeypatch.setattr(session_module, "Control", control)
    monkeypatch.setattr(rollout_module, "FINISH_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "160")
    (tmp_path / "token").write_text("secret\n")
    return repository


def run(repository: Path, *arguments: str) -> Result:
    token = () if arguments[0] in {"status", "journal"} else ("--token-file", "token")
    name, *rest = arguments
    options = [o if o != "token" else str(repository.parent / "token") for o in token]
    asked = ["release", name, str(repository), *options, *rest]
    return CliRunner().invoke(millirank.cli, asked, catch_exceptions=False)


def words(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_from_status_to_journal(repository: Path) -> None:
    assert "127.0.0.1:8000 1 0% 0%" in words(run(repository, "status"))
    servers = ("--server", "127.0.0.1:8000", "--server", "127.0.0.1:9000:9001:9002")
    said = words(run(repository, "stage", *servers, "--why", "fresher"))
    assert "127.0.0.1:9000 1 2 0% 0%" in said
    said = words(run(repository, "promote", *servers))
    assert "127.0.0.1:9000 2 0% 0%" in said
    assert "repository: 1, 2; a new server serves 2" in said
    assert "127.0.0.1:8000 1 0% 0%" in words(run(repository, "rollback", *servers))
    said = words(run(repository, "journal"))
    assert "fresher" in said
    lines = run(repository, "journal", "--json", "--last", "2").output.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["promote", "rollback"]


def test_shadow_and_canary(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter(range(1, 1000))

    def read(_: object) -> Snapshot:
        n = next(counts)
        own = {"count": 2000 * n, "0.01": 2000 * n, "+Inf": 2000 * n, "sum": 4.0 * n, "same": n}
        return Counter({(release, name): v for release in (1, 2) for name, v in own.items()})

    monkeypatch.setattr(trials_module, "read_snapshot", read)
    monkeypatch.setattr(trials_module, "held_out", lambda *_: [])
    monkeypatch.setattr(trials_module, "probe", lambda *_: iter([Probe(9, 0.25, 0.26, 0.01)]))
    run(repository, "stage")
    short = ("--minutes", "0.0001")
    said = words(run(repository, "shadow", "--share", "20%", *short))
    assert "100.0% the same items, 1.00 times the mean, 0 dropped" in said
    assert "(0.2500 to 0.2600, 9 users)" in said
    said = words(run(repository, "canary", "--shares", "1%, 0.5", "--promote", *short))
    assert "Canary, 0.01 of the users" in said
    assert "Canary, 0.5 of the users" in said
    assert "127.0.0.1:8000 2 0% 0%" in said


def test_an_objective_of_ones_own_is_read(repository: Path, tmp_path: Path) -> None:
    run(repository, "stage")
    (tmp_path / "objective.toml").write_text("p99_ms = -1\n")
    with pytest.raises(Exception, match="p99_ms"):
        run(repository, "canary", "--objective", str(tmp_path / "objective.toml"))


def test_a_refusal_is_an_error(repository: Path) -> None:
    with pytest.raises(ReleaseError, match="no release is staged"):
        run(repository, "promote")


@pytest.mark.parametrize(
    ("given", "addresses"),
    [
        ("host:8000", ("host:8000", "host:8001", "host:8002")),
        ("host:8000:8:9", ("host:8000", "host:8", "host:9")),
        ("[::1]:80", ("[::1]:80", "[::1]:81", "[::1]:82")),
    ],
)
def test_addresses(given: str, addresses: tuple[str, str, str]) -> None:
    assert Servers().convert(given, None, None) == addresses


@pytest.mark.parametrize("given", ["host", "host:", ":1", "a:b", "host:1:2", "host:1:2:3:4"])
def test_what_is_no_address(given: str) -> None:
    with pytest.raises(click.BadParameter, match="expected HOST:HTTP or HOST:HTTP:GRPC:METRICS"):
        Servers().convert(given, None, None)


@pytest.mark.parametrize(("given", "share"), [("10%", 0.1), ("0.5", 0.5), ("100%", 1.0)])
def test_shares(given: str, share: float) -> None:
    assert Share().convert(given, None, None) == share


@pytest.mark.parametrize("given", ["0", "101%", "-1%", "many", "%", "nan"])
def test_what_is_no_share(given: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a share above 0"):
        Share().convert(given, None, None)


@pytest.mark.parametrize("name", sorted(command.release.commands))
def test_every_command_explains_itself(name: str) -> None:
    assert CliRunner().invoke(millirank.cli, ["release", name, "--help"]).exit_code == 0
