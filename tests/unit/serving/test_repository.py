"""Which releases a repository holds, and which one is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembles.errors import ReleaseError
from ensembles.profiles import Knobs
from ensembles.recommend import RECOMMEND
from ensembles.render import write_configs
from serving.repository import current_release, releases, titles


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for release in (1, 2, 10):
        (tmp_path / "recommend" / str(release)).mkdir(parents=True)
    write_configs(tmp_path, [RECOMMEND], 2, Knobs())
    return tmp_path


def test_releases_are_sorted_by_number(repository: Path) -> None:
    assert releases(repository) == [1, 2, 10]
    assert releases(repository / "nowhere") == []


def test_current_release_is_the_one_that_the_ensemble_names(repository: Path) -> None:
    assert current_release(repository) == 2


def test_release_that_is_not_there(repository: Path) -> None:
    write_configs(repository, [RECOMMEND], 3, Knobs())
    with pytest.raises(ReleaseError, match=r"names release 3, but .* \[1, 2, 10\]"):
        current_release(repository)


def test_configuration_that_contradicts_itself(repository: Path) -> None:
    path = repository / "recommend/config.pbtxt"
    path.write_text(path.read_text().replace("model_version: 2", "model_version: 1", 1))
    with pytest.raises(ReleaseError, match=r"expected one release .* found \[1, 2\]"):
        current_release(repository)
    path.write_text("")
    with pytest.raises(ReleaseError, match="found none"):
        current_release(repository)


def test_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="expected a model repository"):
        current_release(tmp_path)


def test_titles(repository: Path) -> None:
    (repository / "recommend/2/catalogue.json").write_text('{"a": "Ä title"}', encoding="utf-8")
    assert titles(repository, 2) == {"a": "Ä title"}
    assert titles(repository, 1) == {}
    (repository / "recommend/1/catalogue.json").write_text("{")
    assert titles(repository, 1) == {}
