"""Several servers change together, or none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembles.errors import ReleaseError, ServerError
from serving.release import rollout as rollout_module
from serving.release.fleet import Fleet
from serving.release.trial import Trial
from serving.repository import current_release, releases
from tests.unit.release.fake_server import FakeServer, make_repository, rollout_of

Pair = tuple[Fleet, FakeServer, FakeServer]


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr(rollout_module, "FINISH_SECONDS", 0.0)
    repository = make_repository(tmp_path)
    one, two = FakeServer(repository, "127.0.0.1:1"), FakeServer(repository, "127.0.0.1:2")
    return Fleet([rollout_of(one), rollout_of(two)]), one, two


def stage(fleet: Fleet) -> Trial:
    return fleet.change(lambda rollout: rollout.stage(2))


def test_all_change(pair: Pair) -> None:
    fleet, *_ = pair
    assert stage(fleet) == fleet.status() == Trial(1, 2)
    assert fleet.candidate() == 2
    assert fleet.change(lambda rollout: rollout.promote()) == fleet.status() == Trial(2)
    assert fleet.addresses == ["127.0.0.1:1", "127.0.0.1:2"]


@pytest.mark.parametrize(
    ("refused", "before"),
    [("recommend_candidate", Trial(1)), ("recommend", Trial(1, 2))],
)
def test_what_fails_on_the_second_is_taken_back_on_the_first(
    pair: Pair, refused: str, before: Trial
) -> None:
    fleet, _, two = pair
    if before.candidate:
        stage(fleet)
    two.refused = {refused}
    with pytest.raises(ServerError, match="does not load"):
        fleet.change(lambda r: r.promote() if before.candidate else r.stage(2))
    two.refused = set()
    assert fleet.status() == before
    assert current_release(fleet.repository) == 1


def test_a_canary_that_fails_on_the_second_goes_back_to_its_share_on_the_first(pair: Pair) -> None:
    fleet, _, two = pair
    stage(fleet)
    before = fleet.change(lambda rollout: rollout.try_out(canary=0.01))
    two.refused = {"recommend"}
    with pytest.raises(ServerError):
        fleet.change(lambda rollout: rollout.try_out(canary=0.1))
    assert fleet.status() == before == Trial(1, 2, 0.01)


def test_what_cannot_be_taken_back_is_said(pair: Pair) -> None:
    fleet, one, _ = pair
    stage(fleet)

    def promote(rollout: object) -> Trial:
        if rollout is fleet._rollouts[1]:
            one.down = True
            raise ServerError("the cause")
        return fleet._rollouts[0].promote()

    with pytest.raises(ReleaseError, match="the cause; and what was changed .*:1: nobody answers"):
        fleet.change(promote)


def test_servers_that_do_not_do_the_same(pair: Pair) -> None:
    fleet, one, _ = pair
    rollout_of(one).stage(2)
    with pytest.raises(ReleaseError, match="expected servers that do the same"):
        fleet.candidate()
    fleet.withdraw()
    with pytest.raises(ReleaseError, match="no release is staged"):
        fleet.candidate()


def test_a_rejected_release_is_loaded_nowhere_and_taken_out_of_the_repository(pair: Pair) -> None:
    fleet, one, _ = pair
    stage(fleet)
    fleet.change(lambda rollout: rollout.try_out(canary=0.5))
    fleet.reject(2)
    assert fleet.status() == Trial(1)
    assert releases(fleet.repository) == [1]
    assert (fleet.repository.parent / "shelved" / "ranker" / "2" / "content").is_file()
    assert one.calls[-3:] == ["+features", "+policy", "+ranker"]


def test_a_server_that_died_of_a_release_does_not_keep_it_in_the_repository(pair: Pair) -> None:
    fleet, one, two = pair
    stage(fleet)
    one.down = True
    with pytest.raises(ReleaseError, match="cannot end the trial everywhere: .*:1: nobody answers"):
        fleet.reject(2)
    assert releases(fleet.repository) == [1]
    assert rollout_of(two).status() == Trial(1)
