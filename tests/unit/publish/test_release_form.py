"""The form of the chain follows from what lies in the release."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from builders.publish.release import chains_of, publish
from builders.publish.step_files import RankerFiles, link_members
from builders.settings import Settings
from ensembles.errors import ReleaseError
from ensembles.fuse import FUSED
from ensembles.recommend import RECOMMEND, chains
from serving.repository import models_to_load

SETTINGS = Settings.parse({"name": "x", "data": {"format": "csv", "path": "log.csv"}}, origin="t")


@pytest.fixture
def checked(tmp_path: Path) -> Path:
    repository = tmp_path / "checked"
    for model in ("features", "ranker", "policy", "recommend"):
        (repository / model / "1" / "tables").mkdir(parents=True)
        (repository / model / "1" / "content").write_text(model)
    return repository


def test_a_looked_up_table_changes_the_ensemble(tmp_path: Path, checked: Path) -> None:
    features, repository = checked / "features" / "1", tmp_path / "repository"
    assert chains_of(checked, 1, SETTINGS)[0] == (RECOMMEND,)
    publish(checked, repository, SETTINGS, {})
    np.save(features / "tables" / "item_vectors.npy", np.zeros((3, 48), np.float32))
    pipelines, knobs = chains_of(checked, 1, SETTINGS)
    assert pipelines == chains(lookup=True, visual=False)
    assert knobs.vector_width == 48
    ensemble = repository / "recommend" / "config.pbtxt"
    assert "history_vector" not in ensemble.read_text()
    publish(checked, repository, SETTINGS, {})
    assert "history_vector" in ensemble.read_text()


def test_the_table_goes_to_the_features_step(tmp_path: Path) -> None:
    compressed, gpu, version = (tmp_path / n for n in ("compressed", "gpu", "version"))
    for folder in (compressed, gpu, version):
        folder.mkdir()
    for name in ("model.onnx", "ranker.safetensors", "ranker.json"):
        (compressed / name).write_text(name)
    files = RankerFiles(compressed, gpu, compressed)
    files.copy(version, tmp_path / "item_vectors.npy")
    assert not (tmp_path / "item_vectors.npy").exists()
    (compressed / "model.item_vectors.npy").write_text("rows")
    (tmp_path / "other").mkdir()
    files.copy(tmp_path / "other", tmp_path / "item_vectors.npy")
    assert (tmp_path / "item_vectors.npy").read_text() == "rows"


def test_a_repository_that_serves_pictures_goes_on_doing_so(tmp_path: Path, checked: Path) -> None:
    repository = tmp_path / "repository"
    visual = ("preprocess", "image_encoder", "recommend_visual", "encode_image")
    publish(checked, repository, SETTINGS, {})
    for model in visual:
        (checked / model / "1").mkdir(parents=True)
    assert publish(checked, repository, SETTINGS, {}) == 2
    assert all((repository / model / "2").is_dir() for model in visual)
    assert "model_version: 2" in (repository / "recommend_visual" / "config.pbtxt").read_text()
    for model in visual:
        (checked / model / "1").rmdir()
    with pytest.raises(ReleaseError, match="the new release takes none; keep data.images"):
        publish(checked, repository, SETTINGS, {})


def test_a_joined_release_shares_its_files_and_changes_the_ensemble(
    tmp_path: Path, checked: Path
) -> None:
    for step in ("features", "ranker", "policy"):
        (checked / step / "1" / f"{step}_step").mkdir()
        (checked / step / "1" / f"{step}_step" / "code.py").write_text(step)
        (checked / step / "1" / "tables" / "item_ids.json").write_text("[]")
    (checked / FUSED / "1").mkdir(parents=True)
    link_members(checked, 1)
    repository = tmp_path / "repository"
    assert publish(checked, repository, SETTINGS, {}) == 1
    for step in ("features", "ranker", "policy"):
        code = Path("1", f"{step}_step", "code.py")
        assert (repository / FUSED / code).samefile(repository / step / code)
    assert not (repository / FUSED / "1" / "content").exists()
    ensemble = repository / "recommend" / "config.pbtxt"
    assert FUSED in ensemble.read_text()
    shutil.rmtree(checked / FUSED)
    assert publish(checked, repository, SETTINGS, {}) == 2
    assert FUSED not in ensemble.read_text()
    assert models_to_load(repository) == ("recommend",)
