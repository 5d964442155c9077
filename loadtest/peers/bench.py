"""Triton, its peers and the ceiling, one after the other in several rounds of rotated order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ensembles.errors import LoadTestError, MillirankError
from loadtest.peers.ask import answers, check_equal
from loadtest.peers.environment import python_of
from loadtest.peers.measure import Load, Point, measure
from loadtest.peers.peer import IN_PROCESS, TRITON, Peer
from loadtest.peers.process import running
from loadtest.peers.wire import Form
from loadtest.traffic import holdout_users
from serving.messages import Recommendation
from serving.temporary import temporary_server

CHECKED_USERS = 20
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Settings:
    """What is measured: numbers of clients, rounds, and seconds of each measurement.

    Raises:
        LoadTestError: a number is out of range.
    """

    clients: tuple[int, ...] = (1, 4, 16, 64)
    rounds: int = 3
    seconds: float = 5.0
    seed: int = 42

    def __post_init__(self) -> None:
        if not self.clients or min(self.clients) < 1 or self.rounds < 1 or not self.seconds > 0:
            raise LoadTestError(
                "clients and rounds are 1 or more and seconds more than 0; got "
                f"{self.clients}, {self.rounds} and {self.seconds}"
            )


@dataclass
class Bench:
    """What was measured.

    Attributes:
        points: by name and number of clients, in the order of the rounds.
        left_out: peers that were not measured, and why.
    """

    points: dict[tuple[str, int], list[Point]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """The names, beginning with another one each turn."""
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def run(
    repository: Path,
    peers: Sequence[Peer],
    settings: Settings,
    folder: Path,
    say: Callable[[str], None],
) -> Bench:
    """Measure ``peers`` beside Triton on this machine; environments and logs go to ``folder``.

    A peer that cannot be installed or started, answers otherwise than Triton, or fails is left
    out of the rounds that follow, with the reason.

    Raises:
        MillirankError: Triton itself, or the ceiling, cannot be measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {peer.name: peer for peer in peers}
    users = holdout_users(repository)[:CHECKED_USERS]
    with temporary_server(repository) as server:
        expected = answers(server.ports.http, Form.BINARY, users)
    bench = Bench()
    for turn in range(settings.rounds):
        for name in rotated([TRITON, IN_PROCESS, *known], turn):
            if name in bench.left_out:
                continue
            say(f"round {turn + 1} of {settings.rounds}: {name}")
            try:
                found = _visit(repository, known.get(name), name, settings, folder, expected)
            except MillirankError as e:
                if name not in known:
                    raise
                bench.left_out[name] = reason = str(e).strip().splitlines()[-1]
                say(f"{name} is left out: {reason}")
                continue
            for clients, point in found.items():
                bench.points.setdefault((name, clients), []).append(point)
    return bench


def _visit(
    repository: Path,
    peer: Peer | None,
    name: str,
    settings: Settings,
    folder: Path,
    expected: dict[str, Recommendation],
) -> dict[int, Point]:
    form = peer.form if peer else Form.BINARY
    with _started(repository, peer, name, folder) as (pid, port):
        if port:
            check_equal(answers(port, form, list(expected)), expected)
        loads = {
            clients: Load(
                port=port,
                pid=pid,
                form=form,
                repository=str(repository.resolve()),
                clients=clients,
                seconds=settings.seconds,
                warm_up_seconds=WARM_UP_SECONDS,
                seed=settings.seed,
            )
            for clients in settings.clients
        }
        return {clients: _without_errors(measure(load)) for clients, load in loads.items()}


def _without_errors(point: Point) -> Point:
    if point.errors:
        raise LoadTestError(f"{point.errors} of {point.latency.count + point.errors} had no answer")
    return point


@contextmanager
def _started(
    repository: Path, peer: Peer | None, name: str, folder: Path
) -> Iterator[tuple[int, int]]:
    """Process and port of a server; zeros for the ceiling, which has none."""
    if peer is not None:
        log = folder.resolve() / f"{name}.log"
        with running(peer, python_of(name, folder), repository, log) as found:
            yield found
    elif name == TRITON:
        with temporary_server(repository) as server:
            yield server.pid, server.ports.http
    else:
        yield 0, 0
