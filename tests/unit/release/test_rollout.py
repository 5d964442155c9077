"""What is loaded in which order, and what is left after a failure; the server is a fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembles.errors import ReleaseError, ServerError
from serving.release import rollout as rollout_module
from serving.release.rollout import Rollout
from serving.release.trial import Trial
from serving.repository import current_release, releases
from serving.version_folders import make_current
from tests.unit.release.fake_server import FakeServer, add_release, make_repository, rollout_of


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_module, "FINISH_SECONDS", 0.0)


@pytest.fixture
def server(tmp_path: Path) -> FakeServer:
    return FakeServer(make_repository(tmp_path))


@pytest.fixture
def rollout(server: FakeServer) -> Rollout:
    return rollout_of(server)


def test_from_stage_to_promotion_and_back(server: FakeServer, rollout: Rollout) -> None:
    assert rollout.status() == Trial(1)
    assert rollout.stage(2) == rollout.status() == Trial(1, 2)
    assert rollout.try_out(mirror=0.5) == rollout.status() == Trial(1, 2, 0.0, 0.5)
    assert rollout.try_out(canary=0.01) == rollout.status() == Trial(1, 2, 0.01)
    assert server.models["recommend"]["backend"] == "python"
    assert rollout.promote() == rollout.status() == Trial(2)
    assert current_release(server.repository) == 2
    assert set(server.models) == {"recommend", "record", "features", "ranker", "policy"}
    assert rollout.go_back(1) == rollout.status() == Trial(1)
    assert current_release(server.repository) == 1


def test_without_a_share_nothing_stands_before_the_release(rollout: Rollout) -> None:
    rollout.stage(2)
    rollout.try_out(mirror=1.0)
    assert rollout.try_out() == rollout.status() == Trial(1, 2)


def test_what_waits_before_the_router_is_limited_as_before_a_step(
    server: FakeServer, rollout: Rollout
) -> None:
    rollout.stage(2)
    rollout.try_out(canary=1.0)
    queue = server.models["recommend"]["dynamic_batching"]["default_queue_policy"]
    assert queue["max_queue_size"] > 0


@pytest.mark.parametrize("shares", [{"canary": 1.1}, {"mirror": -0.1}])
def test_a_share_is_a_share(rollout: Rollout, shares: dict[str, float]) -> None:
    rollout.stage(2)
    with pytest.raises(ReleaseError, match="a share is from 0 to 1"):
        rollout.try_out(**shares)


def test_what_cannot_be(server: FakeServer, rollout: Rollout) -> None:
    with pytest.raises(ReleaseError, match="release 1 is the one that answers"):
        rollout.stage(1)
    with pytest.raises(ReleaseError, match="no release is staged"):
        rollout.promote()
    with pytest.raises(ReleaseError, match="no release is staged"):
        rollout.try_out(canary=0.5)
    with pytest.raises(ReleaseError, match="release 2 is not older than 1"):
        rollout.go_back(2)
    server.models.clear()
    with pytest.raises(ReleaseError, match="serves no 'recommend'"):
        rollout.status()


def test_a_damaged_release_is_not_staged(server: FakeServer, rollout: Rollout) -> None:
    (server.repository / "ranker" / "2" / "content").write_text("altered")
    with pytest.raises(ReleaseError, match="was altered"):
        rollout.stage(2)
    assert server.calls == ["+recommend"]


def test_another_candidate_takes_the_place_of_the_first(
    server: FakeServer, rollout: Rollout
) -> None:
    rollout.stage(2)
    rollout.try_out(canary=0.1)
    add_release(server.repository, 3)
    assert rollout.stage(3) == rollout.status() == Trial(1, 3)
    # Triton loads the two newest of each step, so the one between was taken elsewhere.
    assert releases(server.repository) == [1, 3]


def test_a_release_that_is_not_promoted_everywhere_is_not_promoted(
    server: FakeServer, rollout: Rollout
) -> None:
    rollout.stage(2)
    server.refused = {"recommend"}
    with pytest.raises(ServerError, match="does not load"):
        rollout.promote()
    assert current_release(server.repository) == 1
    assert rollout.status().current == 1


def test_a_server_of_another_repository_is_not_promoted(server: FakeServer, tmp_path: Path) -> None:
    other = make_repository(tmp_path / "other")
    rollout = Rollout(other, server)
    rollout.stage(2)
    with pytest.raises(ReleaseError, match="answers with 1; does it serve"):
        rollout.promote()
    assert current_release(other) == 1


def test_a_server_goes_on_with_what_answers_though_a_build_made_another_current(
    server: FakeServer, rollout: Rollout
) -> None:
    make_current(server.repository, 2)
    assert rollout.stage(2) == Trial(1, 2)
    assert rollout.try_out() == Trial(1, 2)
    assert current_release(server.repository) == 1


def test_steps_are_loaded_before_the_ensembles_and_the_public_one_alone_at_the_end(
    server: FakeServer, rollout: Rollout
) -> None:
    rollout.stage(2)
    assert server.calls[1:4] == ["+features", "+policy", "+ranker"]
    assert server.calls[4:] == ["+recommend_current", "+recommend_candidate"]
    rollout.promote()
    assert server.calls[6:8] == ["+record", "+recommend"]
    assert server.calls[8:] == ["-recommend_candidate", "-recommend_current"]
