"""``make test-swaps``: ten promotions and rollbacks under 200 requests/s, and what they cost."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from builders.publish.release import publish
from builders.publish.tuned import settings_of
from loadtest.release.objective import ReleaseObjective
from loadtest.release.trials import Trials
from loadtest.traffic import draw, holdout_users
from serving import client as client_module
from serving.ports import Ports
from serving.release.session import Session, fleet_of
from serving.release.trial import Trial
from serving.repository import current_release
from serving.server import ServerOptions, TritonServer
from serving.version_folders import link_release, models_of
from tests.triton.open_load import OpenLoad, Sent

REPOSITORY = os.environ.get("MILLIRANK_SWAPS", "")
RATE, SWAPS, CONNECTIONS = 200.0, 10, 24
QUIET_SECONDS, WINDOW_SECONDS, WHOLE_SECONDS = 20.0, 15.0, 120.0

pytestmark = pytest.mark.skipif(not REPOSITORY, reason="make test-swaps")


@pytest.fixture
def repository() -> Iterator[Path]:
    """The demo's release twice, of hard links, beside it: the first is current."""
    source = Path(REPOSITORY).resolve()
    release = current_release(source)
    checked, made = (source.parent / f".swaps-{os.getpid()}" / n for n in ("checked", "repository"))
    link_release(source, release, checked, 1, models_of(source, release))
    settings = settings_of(source, release)
    try:
        for current in (True, False):
            publish(checked, made, settings, {}, os.link, current=current)
        yield made
    finally:
        shutil.rmtree(checked.parent)


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


def test_no_request_is_lost(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "RETRY_SECONDS", 1e9)
    options = ServerOptions(
        ports=Ports(0, 0, 0), state=f"lmdb://{Path(REPOSITORY).resolve().parent}/state"
    )
    requests, phases = draw(holdout_users(Path(REPOSITORY)), 4096, 1), Phases()
    with TritonServer(repository, options) as server:
        addresses = [(server.grpc, "grpc"), (server.http, "http")] * (CONNECTIONS // 2)
        fleet = fleet_of(repository, [(server.http, server.grpc)], server.token)
        with OpenLoad(addresses, requests, RATE) as load, Session.open(fleet, "") as session:
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
    print(report(load.sent, phases))
    print(f"mirrored: {seen.candidate.same:,} the same items, {seen.candidate.other:,} others")
    assert [s.error for s in load.sent if s.error] == []
    assert seen.candidate.other == 0


def report(sent: Sequence[Sent], phases: Phases) -> str:
    """Requests and percentiles by what was done when they were due."""
    failed = Counter(s.error for s in sent if s.error)
    lines = [f"\n{len(sent):,} requests, {sum(failed.values())} failed"]
    lines += [f"  {count} x {error}" for error, count in failed.most_common(5)]
    for name in dict.fromkeys([*(n for n, *_ in phases.spans), "between"]):
        ms = [s.ms for s in sent if phases.name_at(s.due) == name]
        if not ms:
            continue
        p50, p99 = np.percentile(ms, [50, 99])
        lines.append(
            f"  {name}: {len(ms):,} requests, p50 {p50:.2f} ms, p99 {p99:.2f} ms, longest "
            f"{max(ms):.0f} ms"
        )
        if lasted := [end - start for n, start, end in phases.spans if n == name]:
            lines[-1] += f"; {len(lasted)} times, {np.mean(lasted):.2f} s each"
    return "\n".join(lines)
