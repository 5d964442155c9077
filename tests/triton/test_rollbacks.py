"""``make test-rollbacks``: bad releases are taken back by themselves, and no request fails.

The real commands, against a server under a load that asks at a steady rate.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from builders.build import run_build
from builders.retrain.run import Outcome, retrain
from builders.retrain.task import Task
from builders.settings import Settings
from ensembles.recommend import RECOMMEND
from serving import client as client_module
from serving.client import Recommendation, Request
from serving.ports import Ports
from serving.release.control import Control
from serving.release.journal import Journal
from serving.release.rollout import Rollout
from serving.release.trial import Trial
from serving.repository import releases
from serving.server import ServerOptions, TritonServer
from serving.version_folders import shelf_of
from tests.triton.open_load import OpenLoad
from tests.triton.test_build import ROOT, settings
from tests.triton.test_retrain import LOGGED, USERS, shuffled, walk, write_log
from tests.triton.two_releases import add_copy, make_first
from tests.unit.retrain.exported import export

RATE, CONNECTIONS = 100.0, 64
OBJECTIVE = "p99_ms = 100\nndcg_loss = 0.05\nminimum_count = 100\n"
WHY = "a test"
HOW = {"canary": ("--shares", "50%"), "shadow": ("--share", "50%")}

pytestmark = pytest.mark.skipif(
    not os.environ.get("MILLIRANK_ROLLBACKS"), reason="make test-rollbacks"
)


@dataclass(frozen=True)
class Live:
    """A server under load."""

    server: TritonServer
    load: OpenLoad

    def release(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """``millirank release COMMAND``."""
        server, ports = self.server, self.server.ports
        where = f"127.0.0.1:{ports.http}:{ports.grpc}:{ports.metrics}"
        token = server.repository.parent / "token"
        token.write_text(server.token)
        given = ["--server", where, "--token-file", str(token), "--why", WHY, *options]
        return subprocess.run(
            [sys.executable, ROOT / "millirank.py", "release", command, server.repository, *given],
            capture_output=True,
            text=True,
            check=False,
        )

    def rejected(self, release: int, how: str, missed: str) -> None:
        """Have release 1's follower tried, and see that it is taken back."""
        repository = self.server.repository
        (objective := repository.parent / "objective.toml").write_text(OBJECTIVE)
        staged = self.release("stage")
        assert staged.returncode == 0, staged.stderr
        start = time.monotonic()
        tried = self.release(how, *HOW[how], "--minutes", "0.5", "--objective", str(objective))
        end = time.monotonic()
        assert tried.returncode == 1, tried.stdout
        assert f"release {release} is rejected, because it missed {missed}" in " ".join(
            (tried.stdout + tried.stderr).split()
        )
        entry = Journal(repository).entries()[-1]
        assert (entry["action"], entry["candidate"], entry["why"]) == ("reject", release, WHY)
        assert entry["who"]
        assert any(line.startswith(missed) for line in entry["figures"]["missed"])
        assert releases(repository) == [1]
        assert (shelf_of(repository) / RECOMMEND.name / str(release) / "manifest.json").is_file()
        time.sleep(2)
        self._report(how, release, start, end)
        assert {a.release for due, a in self.answers() if due > end} == {1}
        assert self.load.errors == []

    def answers(self) -> list[tuple[float, Recommendation]]:
        """All so far, each with the moment when it was due."""
        return [(s.due, s.answer) for s in self.load.sent if isinstance(s.answer, Recommendation)]

    def _report(self, how: str, release: int, start: float, end: float) -> None:
        """What users noticed."""
        during = [s for s in self.load.sent if start <= s.due <= end]
        by = [s for s in during if getattr(s.answer, "release", 1) == release]
        assert (how == "shadow") == (not by)
        due = [s.due for s in by]
        lasted = max(due, default=0) - min(due, default=0)
        users = {s.asked.user_id for s in by}
        print(
            f"\n{how} of release {release}: {end - start:.1f} s, {len(during):,} requests; it "
            f"answered {len(by):,} of them, of {len(users)} users, in {lasted:.1f} s"
        )
        for whose, sent in (("its", by), ("other", [s for s in during if s not in by])):
            if sent:
                ms = [s.ms for s in sent]
                p50, p99 = np.percentile(ms, [50, 99])
                print(
                    f"  {whose} answers: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
                    f"longest {max(ms):.0f} ms"
                )


@contextmanager
def live(repository: Path, users: list[str]) -> Iterator[Live]:
    def asked(number: int) -> Request:
        return Request(users[number * 7 % len(users)])

    options = ServerOptions(ports=Ports(0, 0, 0), log=repository.parent / "server.log")
    with TritonServer(repository, options) as server:
        addresses = [(server.grpc, "grpc"), (server.http, "http")] * (CONNECTIONS // 2)
        with OpenLoad(addresses, asked, RATE) as load:
            yield Live(server, load)
    assert load.errors == []


@pytest.fixture(autouse=True)
def _no_second_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hide a lost request."""
    monkeypatch.setattr(client_module, "RETRY_SECONDS", 1e9)


def of_a_walk(log: Path, tolerance: float) -> Settings:
    shape = {"epochs": 12, "patience": 12, "learning_rate": 0.01}
    return settings(log=log, train=shape, feedback={"tolerance": tolerance, "window": 0.3})


def test_a_release_of_shuffled_items(tmp_path: Path) -> None:
    """The gate of a retraining stops it; with no gate left, the canary does."""
    items = [item for _, item, _, _ in walk(0, LOGGED)]
    log = write_log(tmp_path / "log.csv", items)
    repository = run_build(of_a_walk(log, 0.2), tmp_path / "out", "a test", lambda _: None)
    write_log(log, shuffled(items))
    recorded, window = walk(LOGGED, LOGGED + 4), walk(LOGGED + 4, LOGGED + 6)
    wrong = zip(recorded, shuffled([item for _, item, _, _ in recorded]), strict=True)
    events = [(user, item, event, seconds) for (user, _, event, seconds), item in wrong]
    export(tmp_path / "events", [*events, *window])

    def retrained(tolerance: float) -> Outcome:
        task = Task(of_a_walk(log, tolerance), repository)
        said: list[str] = []
        outcome = retrain(task, tmp_path / "events", "a test", said.append, full=True)
        print("", *said[-2:], sep="\n")
        return outcome

    assert retrained(0.2) is Outcome.NOT_BETTER
    assert retrained(0.99) is Outcome.PUBLISHED
    with live(repository, [f"u{n}" for n in range(USERS)]) as served:
        served.rejected(2, "canary", "NDCG@10 lost")
        assert {a.release for _, a in served.answers()} == {1, 2}


def test_slow_and_broken_releases(tmp_path: Path) -> None:
    repository = make_first(tmp_path).repository
    with live(repository, [f"user-{n}" for n in range(40)]) as served:
        for release, spoiled, how, missed in (
            (2, "slow", "shadow", "p99 ms"),
            (3, "slow", "canary", "p99 ms"),
            (4, "broken", "canary", "error share"),
        ):
            add_copy(repository, release, spoiled)
            served.rejected(release, how, missed)
    server = served.server
    with TritonServer(repository, server.options) as again:
        rollout = Rollout(repository, Control(again.http, again.token, again.grpc))
        assert rollout.status() == Trial(1)
