"""``make test-swaps``: ten promotions and rollbacks under 200 requests/s, and what they cost.

A fifth of the requests are events; impressions of a tenth of the answers are logged meanwhile.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from builders.publish.release import publish
from builders.publish.tuned import settings_of
from loadtest.release.objective import ReleaseObjective
from loadtest.release.trials import Trials
from loadtest.traffic import catalogue_items, draw, holdout_users
from serving import client as client_module
from serving.client import Event, Recommendation, Request
from serving.event_export import export_events
from serving.ports import Ports
from serving.release.session import Session, fleet_of
from serving.release.trial import Trial
from serving.repository import current_release
from serving.server import ServerOptions, TritonServer
from serving.version_folders import link_release, models_of
from tests.triton.kept import Before, assert_shown
from tests.triton.open_load import Asked, OpenLoad, Sent
from tests.unit.model_repository.recorded import Kind

REPOSITORY = os.environ.get("MILLIRANK_SWAPS", "")
RATE, SWAPS, CONNECTIONS = 200.0, 10, 24
EVENTS = 5
"""Each that many'th request is an event."""
IMPRESSIONS = 0.1
QUIET_SECONDS, WINDOW_SECONDS, WHOLE_SECONDS = 20.0, 15.0, 120.0

pytestmark = pytest.mark.skipif(not REPOSITORY, reason="make test-swaps")


@pytest.fixture
def repository() -> Iterator[Path]:
    """The demo's release twice, of hard links, beside it, with a copy of the user state.

    The first is current.
    """
    source = Path(REPOSITORY).resolve()
    release = current_release(source)
    folder = source.parent / f".swaps-{os.getpid()}"
    link_release(source, release, folder / "checked", 1, models_of(source, release))
    settings = settings_of(source, release)
    record = settings.record.model_copy(update={"impressions": IMPRESSIONS})
    settings = settings.model_copy(update={"record": record})
    try:
        shutil.copytree(source.parent / "state", folder / "state")
        for current in (True, False):
            publish(
                folder / "checked", folder / "repository", settings, {}, os.link, current=current
            )
        yield folder / "repository"
    finally:
        shutil.rmtree(folder)


class Phases:
    """What was done when."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, float, float]] = []

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.spans.append((name, start, time.monotonic()))

    def name_at(self, moment: float) -> str:
        return next((n for n, start, end in self.spans if start <= moment <= end), "between")


def mixed(requests: Sequence[Request], items: Sequence[str]) -> Callable[[int], Asked]:
    """The request of each number: for some of the users an event takes its place."""

    def asked(number: int) -> Asked:
        request = requests[number % len(requests)]
        if number % EVENTS:
            return request
        item = items[number * 7919 % len(items)]
        return Event(request.user_id, item, "click", event_id=f"swaps-{number}")

    return asked


def test_nothing_is_lost(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "RETRY_SECONDS", 1e9)
    options = ServerOptions(ports=Ports(0, 0, 0), log=tmp_path / "server.log")
    users, items, phases = holdout_users(repository), catalogue_items(repository), Phases()
    kind = Kind(f"lmdb://{repository.parent}/state", lambda user, value: None)
    before = Before(kind, items, users)
    asked = mixed(draw(users, 4096, 1), items)
    with TritonServer(repository, options) as server:
        addresses = [(server.grpc, "grpc"), (server.http, "http")] * (CONNECTIONS // 2)
        fleet = fleet_of(repository, [(server.http, server.grpc)], server.token)
        with OpenLoad(addresses, asked, RATE) as load, Session.open(fleet, "") as session:
            start = time.monotonic()
            time.sleep(2)  # connections open
            with phases.of("without a change"):
                time.sleep(QUIET_SECONDS)
            for _ in range(SWAPS):
                with phases.of("stage"):
                    session.stage(2)
                with phases.of("promote"):
                    assert session.promote() == Trial(2)
                with phases.of("rollback"):
                    assert session.rollback(1) == Trial(1)
            session.stage(2)
            trials = Trials(
                fleet,
                [server.metrics],
                ReleaseObjective(p99_ms=100, minimum_count=100),
                WINDOW_SECONDS,
                session.write,
                print,
            )
            with phases.of("shadow of half the users"):
                seen = trials.shadow(0.5)
            with phases.of("canary of half the users"):
                trials.canary(0.5)
            session.rollback(None)
            time.sleep(max(start + WHOLE_SECONDS - time.monotonic(), 0))
        time.sleep(2)  # impressions follow their answers
        dropped = dropped_in(server.metrics)
    print(report(load.sent, phases))
    print(f"mirrored: {seen.candidate.same:,} the same items, {seen.candidate.other:,} others")
    assert load.errors == []
    events = [s.asked.event_id for s in load.sent if isinstance(s.asked, Event)]
    impressions = before.assert_kept(events)
    answers = [s.answer for s in load.sent if isinstance(s.answer, Recommendation)]
    chosen, missing = assert_shown(impressions, answers, IMPRESSIONS)
    print(
        f"{len(events):,} events and {len(impressions):,} impressions in the log, each once; of "
        f"{chosen:,} answers whose impressions were to be logged {missing:,} are not there"
    )
    assert missing == dropped
    # An event may come between the answer and the question to the candidate.
    assert seen.candidate.other <= 0.01 * seen.candidate.same
    assert export_events(kind.url, tmp_path / "events") == len(kind.log())


def dropped_in(metrics: str) -> int:
    """Answers that were chosen for the log and did not get there, by the server's own count."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        found = re.findall(
            r"^millirank_impressions_dropped_total\S* (\S+)", answer.read().decode(), re.M
        )
    return round(sum(map(float, found)))


def report(sent: Sequence[Sent], phases: Phases) -> str:
    """Requests and percentiles by what was done when they were due."""
    failed = Counter(s.error for s in sent if s.error)
    lines = [f"\n{len(sent):,} requests, {sum(failed.values())} failed"]
    lines += [f"  {count} x {error}" for error, count in failed.most_common(5)]
    for name in dict.fromkeys([*(n for n, *_ in phases.spans), "between"]):
        lasted = [end - start for n, start, end in phases.spans if n == name]
        lines.append(f"  {name}" + (f": {len(lasted)} x {np.mean(lasted):.2f} s" if lasted else ""))
        due = [s for s in sent if phases.name_at(s.due) == name]
        for kind, what in ((Request, "recommend"), (Event, "record")):
            if ms := [s.ms for s in due if isinstance(s.asked, kind)]:
                p50, p99 = np.percentile(ms, [50, 99])
                lines.append(
                    f"    {what}: {len(ms):,}, p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest "
                    f"{max(ms):.0f} ms"
                )
    return "\n".join(lines)
