from pathlib import Path

import pytest

from builders.build import _published
from builders.publish.release import next_release, publish
from builders.settings import Settings
from ensembles.errors import ReleaseError
from serving.manifest import check
from serving.release.lock import release_lock
from serving.repository import current_release, releases
from serving.version_folders import shelve

SETTINGS = Settings.parse({"name": "x", "data": {"format": "csv", "path": "log.csv"}}, origin="t")


@pytest.fixture
def checked(tmp_path: Path) -> Path:
    repository = tmp_path / "checked"
    for model in ("features", "ranker", "policy", "recommend"):
        (repository / model / "1").mkdir(parents=True)
        (repository / model / "1" / "content").write_text(model)
    return repository


def test_each_release_gets_the_next_number_and_becomes_current(tmp_path, checked):
    repository = tmp_path / "repository"
    assert publish(checked, repository, SETTINGS, {"command": "a"}) == 1
    assert publish(checked, repository, SETTINGS, {"command": "b"}) == 2
    assert releases(repository) == [1, 2]
    assert current_release(repository) == 2
    assert [check(repository, n)["command"] for n in (1, 2)] == ["a", "b"]


def test_a_release_that_is_not_current_waits_and_the_next_one_takes_its_place(tmp_path, checked):
    repository = tmp_path / "repository"
    assert publish(checked, repository, SETTINGS, {}, current=False) == 1
    assert current_release(repository) == 1  # there was none
    assert publish(checked, repository, SETTINGS, {}, current=False) == 2
    assert publish(checked, repository, SETTINGS, {}, current=False) == 3
    assert (current_release(repository), releases(repository)) == (1, [1, 3])
    assert check(repository, 3)["release"] == 3


def test_a_build_knows_its_release_that_waits(tmp_path, checked):
    repository = tmp_path / "repository"
    assert _published(repository, "a", stage=True) == 0
    publish(checked, repository, SETTINGS, {"build_key": "a"})
    publish(checked, repository, SETTINGS, {"build_key": "b"}, current=False)
    assert _published(repository, "a", stage=False) == 1
    assert _published(repository, "b", stage=True) == 2
    assert _published(repository, "b", stage=False) == _published(repository, "a", stage=True) == 0


def test_the_number_of_a_shelved_release_is_not_given_again(tmp_path, checked):
    repository = tmp_path / "repository"
    publish(checked, repository, SETTINGS, {})
    publish(checked, repository, SETTINGS, {}, current=False)
    shelve(repository, 2)
    assert next_release(repository) == 3


def test_nothing_takes_the_place_of_a_release_that_is_being_tried(tmp_path, checked):
    repository = tmp_path / "repository"
    publish(checked, repository, SETTINGS, {})
    publish(checked, repository, SETTINGS, {}, current=False)
    with release_lock(repository), pytest.raises(ReleaseError, match="another command"):
        publish(checked, repository, SETTINGS, {}, current=False)
    assert releases(repository) == [1, 2]


def test_what_a_killed_publication_left_is_not_overwritten(tmp_path, checked):
    repository = tmp_path / "repository"
    publish(checked, repository, SETTINGS, {})
    (repository / "features" / "2").mkdir()
    assert next_release(repository) == 3
    assert publish(checked, repository, SETTINGS, {}) == 3
    assert current_release(repository) == 3


def test_nothing_is_left_beside_the_repository(tmp_path, checked):
    publish(checked, tmp_path / "out" / "repository", SETTINGS, {})
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["repository"]


def test_a_repository_that_cannot_be_written_keeps_its_current_release(tmp_path, checked):
    repository = tmp_path / "repository"
    publish(checked, repository, SETTINGS, {})
    (repository / "policy").rename(repository / "policy-moved")
    (repository / "policy").touch()
    with pytest.raises(ReleaseError, match="cannot publish into"):
        publish(checked, repository, SETTINGS, {})
    assert current_release(repository) == 1
