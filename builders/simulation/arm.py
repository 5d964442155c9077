"""One arm: a build, a repository, a user state and a log of events of its own, and its rounds."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders.build import run_build
from builders.retrain.run import JOURNAL, Outcome, retrain
from builders.retrain.task import Task
from builders.settings import Settings
from builders.simulation import checkpoint
from builders.simulation.plan import Plan
from builders.simulation.seen import Seen
from builders.simulation.visit import Visit, visit
from builders.simulation.world import World
from builders.stages import Log
from serving.client import Client
from serving.durable import replace_file
from serving.event_export import export_events
from serving.ports import Ports
from serving.release.session import Session, fleet_of
from serving.server import ServerOptions, TritonServer

_AT_ONCE = 4
"""Users that are active at the same time."""
_QUIET_SECONDS, _POLL_SECONDS = 10.0, 1.0
"""An export waits until nothing has come for so long, and looks so often."""
_LEFT = "left.json"


@dataclass(frozen=True)
class Arm:
    """An arm of a simulation.

    Attributes:
        folder: of the build; everything of the arm lies there, and checkpoints beside it.
        log: takes the lines of builds and retrainings.
        command: for the manifests.
        retrains: after each round but the last; otherwise the first release is served for ever.
    """

    folder: Path
    settings: Settings
    world: World
    plan: Plan
    log: Log
    command: str
    retrains: bool = True

    @property
    def repository(self) -> Path:
        """That is served."""
        return self.folder / "repository"

    @property
    def _saved(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.saved")

    def prepare(self, sibling: Path | None) -> int:
        """Have the first release, or what a killed simulation left; the finished rounds.

        Args:
            sibling: folder of an arm that has its first release: what is the same is taken over.
        """
        finished = checkpoint.restore(self.folder, self._saved)
        if finished >= 0:
            return finished
        if sibling and not (self.folder / "stages").exists():
            # A stage's folder that exists counts as complete.
            partial = self.folder / "stages.partial"
            shutil.copytree(sibling / "stages", partial)
            partial.rename(self.folder / "stages")
        run_build(self.settings, self.folder, self.command, self.log)
        self._keep(dict(self.world.likes), 0)
        return 0

    def play(
        self, number: int, visited: Callable[[], object], retraining: Callable[[], object]
    ) -> None:
        """Play a round: serve all users, export, and, but for the last one, retrain and release.

        Args:
            number: of the round, from 0.
            visited: called for each user that is done.
            retraining: told when that begins.
        """
        stored = json.loads((self.folder / _LEFT).read_text("utf-8"))
        left = {name: frozenset(items) for name, items in stored.items()}
        options = ServerOptions(ports=Ports(0, 0, 0))
        with TritonServer(self.repository, options) as server:
            visits = self._visits(server.grpc, left, number, visited)
            self._export(visits)
            if self.retrains and number + 1 < self.plan.rounds:
                retraining()
                compared = self._retrain(server)
                replace_file(self._compared(number), json.dumps(compared).encode())
        pairs = zip(left.items(), visits, strict=True)
        rest = {name: mine.difference(visit.clicked) for (name, mine), visit in pairs}
        seen = Seen.of(visits, self.world.item_ids, self.world.likes, rest)
        seen.save(self._round(number))
        self._keep(rest, number + 1)

    def seen(self, number: int) -> Seen:
        """What users saw in a finished round."""
        return Seen.load(self._round(number))

    def retrained(self, number: int) -> dict[str, Any] | None:
        """How the retraining after a round compared; None where there was nothing to compare."""
        path = self._compared(number)
        found: dict[str, Any] | None = (
            json.loads(path.read_text("utf-8")) if path.exists() else None
        )
        return found

    @property
    def _state(self) -> str:
        return f"lmdb://{(self.folder / 'state').resolve()}"

    @property
    def _events(self) -> Path:
        return self.folder / "events"

    def _round(self, number: int) -> Path:
        return self.folder / "rounds" / f"{number}.npz"

    def _compared(self, number: int) -> Path:
        return self._round(number).with_suffix(".json")

    def _visits(
        self,
        address: str,
        left: dict[str, frozenset[str]],
        number: int,
        visited: Callable[[], object],
    ) -> list[Visit]:
        """All users' sessions, some at a time; each user's own requests one after the other."""
        with Client(address) as client, ThreadPoolExecutor(_AT_ONCE) as pool:

            def one(user: int, name: str) -> Visit:
                found = visit(client, name, user, left[name], self.plan, number, self.world.start)
                visited()
                return found

            return list(pool.map(one, range(len(left)), left))

    def _export(self, visits: Sequence[Visit]) -> None:
        """Export the round's events; a server stores impressions behind its answers."""
        missing = sum(len(v.clicked) + sum(map(len, v.shown)) for v in visits)
        came = time.monotonic()
        while missing > 0 and time.monotonic() - came < _QUIET_SECONDS:
            if exported := export_events(self._state, self._events):
                missing, came = missing - exported, time.monotonic()
            time.sleep(_POLL_SECONDS)
        if missing > 0:
            self.log(f"{missing:,} impressions were dropped, as the server does when it is behind")

    def _retrain(self, server: TritonServer) -> dict[str, Any] | None:
        """Retrain, and promote the release if it is not worse; the line of the journal.

        There is no canary: all users of the simulation have been served, and no others are there.
        """
        outcome = retrain(Task.of(self.repository), self._events, self.command, self.log)
        if outcome is Outcome.NOTHING_TO_DO:
            return None
        lines = (self.folder / JOURNAL).read_text("utf-8").splitlines()
        compared: dict[str, Any] = json.loads(lines[-1])
        if outcome is Outcome.PUBLISHED:
            fleet = fleet_of(self.repository, [(server.http, server.grpc)], server.token)
            with Session.open(fleet, "simulation") as session:
                session.stage(None)
                session.promote()
        return compared

    def _keep(self, left: dict[str, frozenset[str]], finished: int) -> None:
        plain = {name: sorted(items) for name, items in left.items()}
        replace_file(self.folder / _LEFT, json.dumps(plain).encode())
        checkpoint.save(self.folder, self._saved, finished)
