from __future__ import annotations

from pathlib import Path

import pytest

from ensembles.errors import ReleaseError
from serving.manifest import check, write_manifest
from serving.release.configs import configs_of, ensembles, queue_of, served_steps
from serving.version_folders import configs_folder, make_current, precompile, shelve
from tests.unit.release.fake_server import STEPS, add_release, make_repository


def test_the_ensembles_come_last(tmp_path: Path) -> None:
    configs = configs_of(make_repository(tmp_path), 2, "cpu")
    assert list(configs) == [*sorted((*STEPS, "record")), "recommend"]
    assert list(ensembles(configs)) == ["recommend"]
    assert set(served_steps(configs)) == set(STEPS)
    assert queue_of(configs, "recommend") == configs["features"]["dynamic_batching"]


def test_the_profile_has_configurations_of_its_own(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    cpu, gpu = (configs_of(repository, 2, profile)["ranker"] for profile in ("cpu", "gpu"))
    assert (cpu["backend"], gpu["backend"]) == ("python", "tensorrt")


def test_a_release_without_or_with_damaged_ones(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    with pytest.raises(ReleaseError, match="configurations of release 7 .*, found none"):
        configs_of(repository, 7, "cpu")
    with pytest.raises(ReleaseError, match="configurations of release 7 .*, found none"):
        make_current(repository, 7)
    (configs_folder(repository, 2) / "ranker" / "config.pbtxt").write_text("name 3")
    with pytest.raises(ReleaseError, match="is no Triton configuration"):
        configs_of(repository, 2, "cpu")


def test_of_what_is_the_same_nothing_is_written(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    before = (repository / "features" / "config.pbtxt").stat()
    ensemble = (repository / "recommend" / "config.pbtxt").read_text()
    make_current(repository, 2)
    assert (repository / "features" / "config.pbtxt").stat().st_ino == before.st_ino
    assert (repository / "recommend" / "config.pbtxt").read_text() != ensemble


def test_bytecode_is_no_part_of_a_release(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    code = repository / "policy" / "2" / "model.py"
    code.write_text("x = 1\n")
    write_manifest(repository, 2, {})
    precompile(repository, 2)
    assert len(list(code.parent.glob("__pycache__/*.pyc"))) == 1
    check(repository, 2)


def test_what_cannot_be_made_current_or_shelved(tmp_path: Path) -> None:
    repository = make_repository(tmp_path)
    (repository / "recommend" / "config.pbtxt").unlink()
    (repository / "recommend" / "config.pbtxt").mkdir()
    with pytest.raises(ReleaseError, match="cannot make release 2 current"):
        make_current(repository, 2)
    shelve(repository, 2)
    add_release(repository, 2)
    with pytest.raises(ReleaseError, match="cannot move release 2 to"):
        shelve(repository, 2)
