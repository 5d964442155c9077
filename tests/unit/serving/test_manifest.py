"""A release is what its manifest says, or there is an error that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from ensembles.errors import ReleaseError
from serving.manifest import check, manifest_path, read_manifest, write_manifest

FILES = {
    "features/2/model.py": b"code",
    "features/2/tables/a.npy": b"",
    "ranker/2/model.onnx": b"\x00" * 100_000,
    "recommend/2/catalogue.json": b"{}",
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, content in {
        **FILES,
        "features/1/model.py": b"older",
        "features/config.pbtxt": b"",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    write_manifest(tmp_path, 2, {"command": "millirank build x", "metrics": {"ndcg": 0.5}})
    return tmp_path


def test_manifest_lists_the_release_and_what_is_known_about_it(repository: Path) -> None:
    manifest = check(repository, 2)
    assert manifest["release"] == 2
    assert manifest["command"] == "millirank build x"
    assert manifest["metrics"] == {"ndcg": 0.5}
    assert manifest["files"] == {
        name: {"bytes": len(content), "sha256": sha256(content).hexdigest()}
        for name, content in FILES.items()
    }


def test_configuration_other_releases_and_bytecode_are_not_part_of_it(repository: Path) -> None:
    (repository / "features/config.pbtxt").write_text("changed")
    (repository / "features/1/model.py").unlink()
    (repository / "features/2/__pycache__").mkdir()
    (repository / "features/2/__pycache__/model.pyc").write_bytes(b"x")
    check(repository, 2)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda r: (r / "ranker/2/model.onnx").unlink(), r"ranker/2/model\.onnx is missing"),
    "altered": (
        lambda r: (r / "ranker/2/model.onnx").write_bytes(b"\x00" * 99_999 + b"\x01"),
        r"ranker/2/model\.onnx was altered",
    ),
    "shorter": (
        lambda r: (r / "features/2/model.py").write_bytes(b"cod"),
        r"features/2/model\.py was altered",
    ),
    "extra": (
        lambda r: (r / "features/2/tables/b.npy").write_bytes(b""),
        r"b\.npy is not in the manifest",
    ),
    "no manifest": (lambda r: manifest_path(r, 2).unlink(), r"manifest\.json is no manifest"),
    "no JSON": (lambda r: manifest_path(r, 2).write_text("{"), r"manifest\.json is no manifest"),
    "no object": (lambda r: manifest_path(r, 2).write_text("[]"), r"manifest\.json is no manifest"),
    "of another release": (
        lambda r: manifest_path(r, 2).write_text(json.dumps({"release": 9, "files": {}})),
        "it describes release 9",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(repository: Path, name: str) -> None:
    damage, words = DAMAGE[name]
    damage(repository)
    with pytest.raises(ReleaseError, match=words):
        check(repository, 2)


def test_unreadable_file(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("serving.manifest.file_digest", refuse)
    with pytest.raises(ReleaseError, match="cannot be read: Permission denied"):
        check(repository, 2)


def test_release_without_files(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="found none"):
        write_manifest(tmp_path, 1, {})


def test_names_of_its_own(repository: Path) -> None:
    with pytest.raises(ReleaseError, match="writes files itself"):
        write_manifest(repository, 2, {"files": 3})


def test_it_can_be_read_without_a_check(repository: Path) -> None:
    (repository / "ranker/2/model.onnx").unlink()
    assert read_manifest(repository, 2)["release"] == 2
