"""Releases in a running server, under load: no request is lost, whatever the candidate is like."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ensembles.errors import InvalidRequest, ReleaseError, RequestError
from loadtest.release.objective import ReleaseObjective
from loadtest.release.trials import Trials
from loadtest.release.window import Window, read_snapshot
from serving import client as client_module
from serving.client import Client, Request
from serving.ports import Ports
from serving.release.control import Control
from serving.release.fleet import Fleet
from serving.release.rollout import Rollout
from serving.release.session import Session
from serving.release.trial import Trial
from serving.repository import releases
from serving.server import ServerOptions, TritonServer
from tests.triton.client_threads import ClientThreads
from tests.triton.scraped import wait_until
from tests.triton.two_releases import KNOBS_OF_COPIES, add_copy, make_first

USERS = [f"user-{n}" for n in range(40)]


class Load(ClientThreads):
    """Clients that ask until the end; who was answered by which release, and what failed."""

    def __init__(self, server: TritonServer) -> None:
        self.answered: Counter[tuple[str, int]] = Counter()
        self.failed: list[RequestError] = []
        self._addresses = {"grpc": server.grpc, "http": server.http}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(4)]

    def _run(self, n: int) -> None:
        protocol = ("grpc", "http")[n % 2]
        with Client(self._addresses[protocol], protocol, timeout=30) as client:
            while not self._over.is_set():
                for user in USERS[n::4]:
                    answered = self.answered
                    try:
                        answer = client.recommend(Request(user))
                    except RequestError as e:
                        self.failed.append(e)
                    else:
                        answered[user, answer.release] += 1

    def seen(self) -> dict[str, set[int]]:
        """Who answers each user, from now on until everybody was answered a few times."""
        time.sleep(0.2)  # what was asked before is answered by then
        self.answered = Counter()
        wait_until(lambda: len({user for user, _ in self.answered}) == len(USERS))
        time.sleep(0.2)
        found: dict[str, set[int]] = {}
        for user, release in list(self.answered):
            found.setdefault(user, set()).add(release)
        return found


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # A second try would hide a lost request.
    monkeypatch.setattr(client_module, "RETRY_SECONDS", 1e9)
    return make_first(tmp_path).repository


@pytest.fixture
def server(repository: Path) -> Iterator[TritonServer]:
    options = ServerOptions(ports=Ports(0, 0, 0), log=repository.parent / "server.log")
    with TritonServer(repository, options) as server:
        yield server


def rollout_of(server: TritonServer) -> Rollout:
    return Rollout(server.repository, Control(server.http, server.token, server.grpc))


def test_a_release_from_stage_to_promotion_and_back_under_load(server: TritonServer) -> None:
    # Its steps are configured in another way, too, so they are loaded anew when it is promoted.
    add_copy(server.repository, 2, knobs=replace(KNOBS_OF_COPIES, max_queue_delay_us=100))
    rollout = rollout_of(server)
    with Load(server) as load:
        assert rollout.status() == Trial(1)
        rollout.stage(2)
        assert rollout.status() == Trial(1, 2)
        assert load.seen() == {user: {1} for user in USERS}
        rollout.try_out(mirror=1.0)
        assert rollout.status() == Trial(1, 2, 0.0, 1.0)
        before = read_snapshot([server.metrics])
        assert load.seen() == {user: {1} for user in USERS}
        mirrored = Window.between(before, read_snapshot([server.metrics]), 2)
        assert mirrored.same > 0
        assert (mirrored.other, mirrored.failures) == (0, 0)
        rollout.try_out(canary=0.5)
        assert rollout.status() == Trial(1, 2, 0.5)
        seen = load.seen()
        assert all(len(by) == 1 for by in seen.values())  # the same one all along
        assert {release for by in seen.values() for release in by} == {1, 2}
        _ask_wrongly(server)
        rollout.promote()
        assert rollout.status() == Trial(2)
        assert load.seen() == {user: {2} for user in USERS}
        rollout.go_back(1)
        assert load.seen() == {user: {1} for user in USERS}
        with Session.open(Fleet([rollout]), "a test") as session:
            _reject_worse(server, session, 3)
    assert load.failed == []


def _ask_wrongly(server: TritonServer) -> None:
    """Errors pass through the router as they are."""
    for address, protocol in ((server.grpc, "grpc"), (server.http, "http")):
        with Client(address, protocol) as client:
            with pytest.raises(InvalidRequest, match="k: expected 1 to 100, got 1000"):
                client.recommend_many([Request(user, 1000) for user in USERS])
            answers = client.recommend_many([Request(user) for user in USERS])
            assert {answer.release for answer in answers} == {1, 2}


def _reject_worse(server: TritonServer, session: Session, release: int) -> None:
    """Stage a spoiled copy, have it tried, and see that it is taken back."""
    add_copy(server.repository, release, "worse")
    session.stage(release)
    objective = ReleaseObjective(p99_ms=100, ndcg_loss=0.05, minimum_count=100)
    trials = Trials(session.fleet, [server.metrics], objective, 60, session.write, print)
    said = f"release {release} is rejected.* NDCG@10 lost "
    with pytest.raises(ReleaseError, match=said):
        trials.canary(0.5)
    assert session.fleet.status() == Trial(1)
    assert releases(server.repository) == [1]
    entry = session.journal.entries()[-1]
    assert (entry["action"], entry["candidate"]) == ("reject", release)
