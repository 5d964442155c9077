import tomllib
from pathlib import Path

import pytest

from builders.publish.release import chains_of, publish
from builders.publish.tuned import publish_tuned, settings_of
from builders.settings import Settings
from ensembles.errors import ReleaseError
from serving.manifest import check
from serving.repository import current_release

SETTINGS = Settings.parse({"name": "x", "data": {"format": "csv", "path": "log.csv"}}, origin="t")
EVIDENCE = {"settings": {"instances": 3}, "latency_ratio": 0.8}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    checked = tmp_path / "checked"
    for model in ("features", "ranker", "policy", "features_ranker_policy", "recommend"):
        (checked / model / "1" / "tables").mkdir(parents=True)
        (checked / model / "1" / "tables" / "content").write_text(model)
    about = {"settings": SETTINGS.model_dump(mode="json"), "command": "a", "build_key": "k"}
    publish(checked, tmp_path / "repository", SETTINGS, about)
    return tmp_path / "repository"


def versions(repository: Path, release: int) -> dict[str, dict[str, bytes]]:
    return {f.parent.name: files(f) for f in repository.glob(f"*/{release}")}


def test_the_new_release_is_whole_and_the_old_one_untouched(repository: Path) -> None:
    (repository / "features" / "1" / "__pycache__").mkdir()
    (repository / "features" / "1" / "__pycache__" / "x.pyc").touch()
    before = versions(repository, 1)
    changed = {"instances": 3, "visual_candidates": 50, "max_queue_delay_us": 100}
    number, lines = publish_tuned(repository, 1, changed, EVIDENCE)
    assert number == 2
    assert tomllib.loads(lines) == {
        "serving": {"instances": 3, "max_queue_delay_us": 100},
        "visual": {"candidates": 50},
    }
    assert current_release(repository) == 2
    manifest = check(repository, 2)
    assert manifest["tuned"] == EVIDENCE
    assert (manifest["command"], manifest["build_key"]) == ("a", "k")
    assert manifest["settings"]["serving"]["instances"] == 3
    assert settings_of(repository, 2).serving.max_queue_delay_us == 100
    assert settings_of(repository, 2).visual.candidates == 50
    assert check(repository, 1)["settings"]["serving"]["instances"] == 2
    assert versions(repository, 1) == before
    config = (repository / "features_ranker_policy" / "config.pbtxt").read_text()
    assert "count: 3" in config
    assert "max_queue_delay_microseconds: 100" in config
    name = Path("features", "1", "tables", "content")
    assert (repository / name).stat().st_ino == (
        repository / "features" / "2" / "tables" / "content"
    ).stat().st_ino
    assert [p.name for p in repository.parent.iterdir() if p.name.startswith(".")] == []


def test_without_the_joined_model(repository: Path) -> None:
    publish_tuned(repository, 1, {"fuse_steps": False}, EVIDENCE)
    assert not (repository / "features_ranker_policy" / "2").exists()
    assert "features_ranker_policy" not in (repository / "recommend" / "config.pbtxt").read_text()
    assert not chains_of(repository, 2, settings_of(repository, 2))[1].fuse_steps
    check(repository, 2)


def test_a_damaged_release_is_not_tuned(repository: Path) -> None:
    (repository / "ranker" / "1" / "tables" / "content").write_text("other")
    with pytest.raises(ReleaseError, match="was altered"):
        publish_tuned(repository, 1, {"instances": 3}, EVIDENCE)
    assert current_release(repository) == 1


def test_a_manifest_without_settings(tmp_path: Path, repository: Path) -> None:
    publish(tmp_path / "checked", repository, SETTINGS, {})
    with pytest.raises(ReleaseError, match="holds no settings"):
        settings_of(repository, 2)
