from pathlib import Path

import pytest

from ensembles.errors import ReleaseError
from serving.version_folders import link_release, models_of


def test_files_of_a_release_are_linked_and_what_servers_left_is_not(tmp_path: Path) -> None:
    repository, target = tmp_path / "repository", tmp_path / "target"
    version = repository / "ranker" / "3"
    for left in ("__pycache__", "engine_cache", "tables"):
        (version / left).mkdir(parents=True)
        (version / left / "file").write_text(left)
    (version / "model.plan").symlink_to("engine_cache/file")
    (repository / "recommend" / "3").mkdir(parents=True)
    (repository / "recommend" / "3" / "manifest.json").touch()
    (repository / "policy" / "2").mkdir(parents=True)
    assert models_of(repository, 3) == ["ranker", "recommend"]
    link_release(repository, 3, target, 1, models_of(repository, 3))
    found = [p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()]
    assert found == ["ranker/1/tables/file"]
    assert (target / found[0]).samefile(version / "tables" / "file")
    assert (target / "recommend" / "1").is_dir()
    with pytest.raises(ReleaseError, match="cannot link release 3"):
        link_release(repository, 3, target, 1, ["ranker"])
