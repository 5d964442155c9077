"""Restarts, with a stand-in for the server."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from ensembles.errors import ReleaseError, ServerError
from serving import foreground
from serving.foreground import RESTARTS, serve_foreground, supervise
from serving.ports import Ports
from serving.server import ServerOptions


@dataclass
class FakeServer:
    """Dies as often as ``deaths`` says, then gets SIGTERM."""

    repository: Path
    options: ServerOptions
    started: ClassVar[list[ServerOptions]] = []
    deaths: ClassVar[int] = 0
    token: str = "generated"
    ports: Ports = field(default_factory=lambda: Ports(1, 2, 3))
    http = grpc = metrics = "here:1"

    def __enter__(self) -> Self:
        self.started.append(self.options)
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def wait(self) -> int:
        if len(self.started) > self.deaths:
            os.kill(os.getpid(), signal.SIGTERM)
        return 139

    def errors(self) -> str:
        return "  last words"


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(foreground, "TritonServer", FakeServer)
    monkeypatch.setattr(foreground, "current_release", lambda _: 7)
    monkeypatch.setattr(foreground, "check", lambda *_: {})
    monkeypatch.setattr(foreground, "drain", lambda server, seconds, echo: echo(f"drain {seconds}"))
    monkeypatch.setattr(FakeServer, "started", [])
    monkeypatch.setattr(FakeServer, "deaths", 0)
    return FakeServer


def test_sigterm_stops_it(fake: Any) -> None:
    said: list[str] = []
    before = signal.getsignal(signal.SIGTERM)
    serve_foreground(Path("r"), ServerOptions(), said.append, drain_seconds=2.5)
    assert said[0].startswith("release 7 of r")
    assert said[1].startswith("ready: HTTP here:1")
    assert said[2:] == ["drain 2.5", "stopped"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_sigterm_before_it_serves(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As PID 1 of a container a process gets only the signals that it handles."""
    monkeypatch.setattr(foreground, "check", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    said: list[str] = []
    serve_foreground(Path("r"), ServerOptions(), said.append)
    assert said == ["stopped"]
    assert fake.started == []


def test_crashes_are_told_and_the_same_server_comes_back(fake: Any) -> None:
    said: list[str] = []
    fake.deaths = 2
    serve_foreground(Path("r"), ServerOptions(ports=Ports(0, 0, 0)), said.append)
    assert sum("died with status 139" in line and "last words" in line for line in said) == 2
    assert [o.ports for o in fake.started] == [Ports(0, 0, 0), Ports(1, 2, 3), Ports(1, 2, 3)]
    assert [o.token for o in fake.started] == ["", "generated", "generated"]


def test_restarts_are_bounded(fake: Any) -> None:
    fake.deaths = 99
    with pytest.raises(ServerError, match=rf"died {RESTARTS + 1} times .*\n  last words"):
        supervise(Path("r"), ServerOptions(), lambda _: None)
    assert len(fake.started) == RESTARTS + 1


def test_rare_crashes_are_never_too_many(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.deaths = 20
    hours = iter(range(0, 1_000_000, 3600))
    monkeypatch.setattr("serving.foreground.time.monotonic", lambda: next(hours))
    serve_foreground(Path("r"), ServerOptions(), lambda _: None)
    assert len(fake.started) == 21


def test_damaged_release_is_not_served(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ReleaseError("model.onnx was altered")

    monkeypatch.setattr(foreground, "check", refuse)
    with pytest.raises(ReleaseError, match="altered"):
        serve_foreground(Path("r"), ServerOptions(), lambda _: None)
    assert fake.started == []


def test_the_gpu_profile_gets_its_engines_first(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    readied: list[tuple[Path, int, int]] = []
    monkeypatch.setattr(
        foreground, "ready_engines", lambda r, n, echo: readied.append((r, n, len(fake.started)))
    )
    serve_foreground(Path("r"), ServerOptions(), lambda _: None)
    assert readied == []
    serve_foreground(Path("r"), ServerOptions(config_name="gpu"), lambda _: None)
    assert readied == [(Path("r"), 7, 1)]


def test_with_a_folder_for_engines_a_repository_of_links_is_served(
    fake: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def linked(repository: Path, release: int, engines: Path, echo: Any) -> Iterator[Path]:
        yield tmp_path / f"{repository}-{release}-{engines}"
        echo("removed")

    served: list[Path] = []
    monkeypatch.setattr(foreground, "with_engines", linked)
    monkeypatch.setattr(foreground, "supervise", lambda repository, *_: served.append(repository))
    said: list[str] = []
    options = ServerOptions(config_name="gpu")
    serve_foreground(Path("r"), options, said.append, engines=Path("e"))
    assert served == [tmp_path / "r-7-e"]
    assert said[-1] == "removed"
