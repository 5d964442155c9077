"""Pictures of a catalogue, in batches."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from builders.visual.pixels import Preprocess, batches, open_preprocess, write_preprocess
from ensembles.errors import BuildError, MissingExtra, ReleaseError
from tests.damaged_images import KINDS, drawn, encode
from tests.triton.tiny import SOURCE

SIZE = 16


@pytest.fixture(scope="module")
def preprocess(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preprocess]:
    folder = tmp_path_factory.mktemp("pipeline")
    write_preprocess(folder, SIZE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    opened = open_preprocess(folder)
    yield opened
    opened.close()


def written(folder: Path, count: int) -> list[Path | None]:
    """A picture for each item number from 1 on; 0 is padding."""
    files: list[Path | None] = [None]
    for number in range(1, count + 1):
        file = folder / f"{number}.{KINDS[number % 3].lower()}"
        file.write_bytes(encode(drawn(number), KINDS[number % 3]))
        files.append(file)
    return files


def test_numbers_go_with_their_pixels(preprocess: Preprocess, tmp_path: Path) -> None:
    files = written(tmp_path, 40)
    files[7] = None
    said: list[str] = []
    found = list(batches(preprocess, files, said.append))
    assert [len(numbers) for numbers, _ in found] == [32, 7]
    assert preprocess.size == SIZE
    numbers = np.concatenate([numbers for numbers, _ in found])
    assert (numbers.dtype, numbers.tolist()) == (
        np.int64,
        [n for n in range(1, 41) if n != 7],
    )
    for number, pixels in zip(numbers, np.concatenate([p for _, p in found]), strict=True):
        file = files[number]
        assert file
        (alone,) = preprocess.pixels([np.fromfile(file, np.uint8)])
        np.testing.assert_array_equal(pixels, alone)
    assert said == []


def test_unreadable_pictures_are_left_out_and_counted(
    preprocess: Preprocess, tmp_path: Path
) -> None:
    files = written(tmp_path, 5)
    (tmp_path / "text.jpg").write_text("<html>not found</html>")
    files[2], files[4] = tmp_path / "text.jpg", tmp_path / "missing.jpg"
    said: list[str] = []
    ((numbers, pixels),) = batches(preprocess, files, said.append)
    assert numbers.tolist() == [1, 3, 5]
    assert pixels.shape == (3, 3, SIZE, SIZE)
    (line,) = said
    assert line.startswith("2 of 5 pictures cannot be read; ")
    assert "text.jpg: expected one encoded JPEG, PNG or WebP, got text" in line


def test_nothing_readable(preprocess: Preprocess, tmp_path: Path) -> None:
    said: list[str] = []
    assert list(batches(preprocess, [None, tmp_path / "missing.jpg"], said.append)) == []
    assert "1 of 1 pictures cannot be read" in said[0]
    assert list(batches(preprocess, [None, None], said.append)) == []
    assert len(said) == 1


def test_a_damaged_folder_is_a_build_error(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="preprocessing pipeline"):
        open_preprocess(tmp_path)
    with pytest.raises(ReleaseError, match="no|expected"):
        open_preprocess(tmp_path, tmp_path)


def test_without_dali(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = tmp_path / "1"
    shutil.copytree(SOURCE / "preprocess" / "1", version)
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    with pytest.raises(MissingExtra, match="nvidia-dali-cuda120 is not installed"):
        open_preprocess(tmp_path, version)
