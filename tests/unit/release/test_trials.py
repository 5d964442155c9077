"""A trial from window to window: servers and their counters are fakes, and so is the time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ensembles.errors import LoadTestError, ReleaseError
from loadtest.release import trials as trials_module
from loadtest.release import watch as watch_module
from loadtest.release.objective import ReleaseObjective
from loadtest.release.probe import Probe
from loadtest.release.trials import Trials
from loadtest.release.window import Snapshot
from serving.release import rollout as rollout_module
from serving.release.fleet import Fleet
from serving.release.session import Session
from serving.release.trial import Trial
from serving.repository import releases
from tests.unit.release.fake_server import FakeServer, make_repository, rollout_of

OBJECTIVE = ReleaseObjective(minimum_count=100)
Read = Callable[[float], Snapshot]


class Clock:
    """``sleep`` makes the time pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch_module, "time", clock)
    monkeypatch.setattr(rollout_module, "FINISH_SECONDS", 0.0)
    return clock


@pytest.fixture
def session(tmp_path: Path) -> Session:
    fleet = Fleet([rollout_of(FakeServer(make_repository(tmp_path)))])
    with Session.open(fleet, "") as session:
        session.stage(2)
        return session


def rate(requests: float, ms: float = 5, failed: float = 0.0, same: float = 0.0) -> Read:
    """Counters of a server that is asked so often a second."""

    def read(now: float) -> Snapshot:
        found: Snapshot = Counter()
        for release in (1, 2):
            count = round(requests * now)
            bounds = {le: count * (ms / 1000 <= float(le)) for le in ("0.01", "0.1")}
            own = {"count": count, "+Inf": count, **bounds}
            own |= {"sum": count * ms / 1000, "failures": failed * count, "same": same * count}
            found.update({(release, name): n for name, n in own.items()})
        return found

    return read


def trials(
    session: Session,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    read: Read,
    quality: Probe | None = None,
    probing: Iterator[Probe | None] | None = None,
) -> tuple[Trials, list[str]]:
    told: list[str] = []
    monkeypatch.setattr(trials_module, "held_out", lambda *_: [])
    monkeypatch.setattr(trials_module, "probe", lambda *_: probing or iter([quality]))
    monkeypatch.setattr(trials_module, "read_snapshot", lambda _: read(clock.now))
    made = Trials(session.fleet, ["127.0.0.1:2"], OBJECTIVE, 60, session.write, told.append)
    return made, told


def actions(session: Session) -> list[str]:
    return [entry["action"] for entry in session.journal.entries()]


def test_a_good_release_stays_at_its_share(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, told = trials(session, clock, monkeypatch, rate(10), Probe(50, 0.3, 0.31, 0.01))
    for share in (0.01, 0.1):
        seen = trial.canary(share)
        assert session.fleet.status() == Trial(1, 2, share)
        assert (seen.judged, seen.seconds) == (True, 60)
    assert actions(session) == ["stage", "canary", "canary"]
    figures = session.journal.entries()[-1]["figures"]
    assert figures["candidate"]["requests"] == 600
    assert figures["quality"]["candidate"] == 0.31
    assert figures["missed"] == []
    assert told == []


def test_after_a_shadow_nobody_is_mirrored(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, _ = trials(session, clock, monkeypatch, rate(10, same=1.0))
    seen = trial.shadow(0.2)
    assert seen.candidate.same == 600
    assert session.fleet.status() == Trial(1, 2)


@pytest.mark.parametrize(
    ("read", "quality", "reason", "after"),
    [
        (rate(10, ms=50), None, "p99 ms <= 25", 2),
        (rate(10, failed=0.5), None, "error share <= 0.001", 2),
        (rate(10), Probe(50, 0.3, 0.1, 0.01), "NDCG@10 lost", 0),
    ],
)
def test_a_bad_release_is_rejected_at_once(
    session: Session,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    read: Read,
    quality: Probe | None,
    reason: str,
    after: float,
) -> None:
    trial, _ = trials(session, clock, monkeypatch, read, quality)
    with pytest.raises(ReleaseError, match=f"release 2 is rejected, because it missed {reason}"):
        trial.canary(0.1)
    assert clock.now == after
    assert session.fleet.status() == Trial(1)
    assert releases(session.fleet.repository) == [1]
    assert actions(session) == ["stage", "reject"]
    assert reason in session.journal.entries()[-1]["figures"]["missed"][0]


def test_a_slow_release_is_rejected_while_held_out_users_are_asked(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probing() -> Iterator[Probe | None]:
        for _ in range(30):
            clock.sleep(1)  # what the candidate takes for an answer
            yield None
        yield Probe(30, 0.3, 0.3, 0.01)

    trial, _ = trials(session, clock, monkeypatch, rate(10, ms=50), probing=probing())
    with pytest.raises(ReleaseError, match="missed p99 ms"):
        trial.canary(0.1)
    assert clock.now == 2
    assert session.journal.entries()[-1]["figures"]["quality"] is None


def test_quality_is_judged_once_all_are_asked(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probing() -> Iterator[Probe | None]:
        for _ in range(5):
            clock.sleep(1)
            yield None
        yield Probe(5, 0.3, 0.1, 0.01)

    trial, _ = trials(session, clock, monkeypatch, rate(10), probing=probing())
    with pytest.raises(ReleaseError, match="missed NDCG@10 lost"):
        trial.canary(0.1)
    assert clock.now == 5


def test_a_window_with_too_few_requests_is_made_longer(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, told = trials(session, clock, monkeypatch, rate(1))
    seen = trial.canary(0.1)
    assert (seen.judged, seen.seconds) == (True, 120)
    assert len(told) == 1
    assert told[0].startswith("the candidate was asked 60 times, and 100 are needed to judge it")


def test_what_is_never_judged_answers_nobody_any_more(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, told = trials(session, clock, monkeypatch, rate(0.1))
    with pytest.raises(ReleaseError, match="asked 36 times, and 100 are needed"):
        trial.canary(0.1)
    assert len(told) == watch_module.EXTENSIONS
    assert session.fleet.status() == Trial(1)
    assert releases(session.fleet.repository) == [1, 2]
    assert actions(session) == ["stage", "withdraw"]


def test_servers_that_cannot_be_read(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(now: float) -> Snapshot:
        if now > 10:
            raise LoadTestError("no metrics")
        return rate(10)(now)

    trial, _ = trials(session, clock, monkeypatch, read)
    with pytest.raises(LoadTestError, match="no metrics"):
        trial.canary(0.1)
    assert session.fleet.status() == Trial(1)
    assert session.journal.entries()[-1]["figures"] == {"missed": ["no metrics"]}


def test_an_interrupt_ends_the_trial(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(now: float) -> Snapshot:
        if now > 10:
            raise KeyboardInterrupt
        return rate(10)(now)

    trial, _ = trials(session, clock, monkeypatch, read)
    with pytest.raises(KeyboardInterrupt):
        trial.canary(0.1)
    assert session.fleet.status() == Trial(1)
    assert session.journal.entries()[-1]["why"] == "canary was interrupted"
