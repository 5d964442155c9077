"""What commands do and what they leave in the journal; the servers are fakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ensembles.errors import ReleaseError, ServerError
from serving.release import rollout as rollout_module
from serving.release.fleet import Fleet
from serving.release.lock import release_lock
from serving.release.session import Session
from serving.release.trial import Trial
from tests.unit.release.fake_server import FakeServer, add_release, make_repository, rollout_of


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    monkeypatch.setattr(rollout_module, "FINISH_SECONDS", 0.0)
    return FakeServer(make_repository(tmp_path, 1))


@pytest.fixture
def session(server: FakeServer) -> Iterator[Session]:
    with Session.open(Fleet([rollout_of(server)]), "a reason") as opened:
        yield opened


def test_the_newest_is_staged_and_promoted_and_the_one_before_comes_back(
    server: FakeServer, session: Session
) -> None:
    add_release(server.repository, 2)
    add_release(server.repository, 3)
    assert session.stage(None) == Trial(1, 3)
    assert session.promote() == Trial(3)
    assert session.rollback(None) == Trial(1)
    written = session.journal.entries()
    assert [(e["action"], e["before"], e["release"]) for e in written] == [
        ("stage", 1, 3),
        ("promote", 1, 3),
        ("rollback", 3, 1),
    ]
    assert {e["why"] for e in written} == {"a reason"}
    assert written[0]["servers"] == ["127.0.0.1:1"]


def test_rollback_ends_a_trial_first(server: FakeServer, session: Session) -> None:
    add_release(server.repository, 2)
    session.stage(2)
    assert session.rollback(None) == Trial(1)
    assert session.journal.entries()[-1]["action"] == "withdraw"


def test_a_named_release_comes_back(server: FakeServer, session: Session) -> None:
    for release in (2, 3):
        add_release(server.repository, release)
        session.stage(release)
        session.promote()
    assert session.rollback(1) == Trial(1)


def test_there_is_nothing_to_go_to(session: Session) -> None:
    with pytest.raises(ReleaseError, match="release 1 answers, and there is no newer one"):
        session.stage(None)
    with pytest.raises(ReleaseError, match="release 1 answers, and there is no older one"):
        session.rollback(None)
    assert session.journal.entries() == []


def test_what_failed_is_in_the_journal(server: FakeServer, session: Session) -> None:
    add_release(server.repository, 2)
    server.refused = {"ranker"}
    with pytest.raises(ServerError):
        session.stage(2)
    (entry,) = session.journal.entries()
    assert (entry["action"], entry["error"]) == ("stage failed", "ranker does not load")


def test_a_second_command_waits_its_turn(server: FakeServer) -> None:
    with (
        release_lock(server.repository),
        pytest.raises(ReleaseError, match="another command"),
        Session.open(Fleet([rollout_of(server)]), ""),
    ):
        pass
