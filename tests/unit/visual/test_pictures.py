"""Which item has which picture, and that no id leads out of the folder."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image

from builders.dataset.dataset import Dataset
from builders.settings import Settings
from builders.visual.pictures import find_pictures, picture_hash
from ensembles.errors import DataError, SettingsError
from tests.unit.ranker.tiny_log import circle


def catalogue(*item_ids: str) -> Dataset:
    """Items alone; the first is a comedy, the others have no category."""
    categories = np.zeros((len(item_ids) + 1, 2), np.uint8)
    categories[1] = (1, 0)
    return replace(
        circle(),
        item_ids=["", *item_ids],
        titles=["", *(f"Title of {i}" for i in item_ids)],
        category_names=["Comedy", "Drama"],
        categories=categories,
    )


def settings(images: str = "", *, covers: bool = False) -> Settings:
    raw = {
        "name": "x",
        "data": {"format": "csv", "path": "log.csv", "images": images},
        "visual": {"covers": covers},
    }
    return Settings.parse(raw, origin="here")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of items a and c, and files that are none of the pattern's, beside a secret."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    folder = tmp_path / "pictures"
    (folder / "d.jpg").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "c.jpg"):
        (folder / name).write_bytes(name.encode())
    return folder


def test_every_item_gets_its_own_picture_or_none(folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    found = find_pictures(
        catalogue("c", "b", "a", "d", "A"),
        settings("pictures/{item_id}.jpg"),
        tmp_path,
        lines.append,
    )
    assert found == [None, Path("pictures/c.jpg"), None, Path("pictures/a.jpg"), None, None]
    assert lines == ["2 of 5 items have a picture"]
    assert not list(tmp_path.glob("*.png"))


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    item=st.text(st.sampled_from("./\\a~*?\0\n{}ü")) | st.text() | st.just("../secret"),
    name=st.sampled_from(["{item_id}.jpg", "{item_id}", "x{item_id}", ".{item_id}jpg"]),
)
def test_no_id_leads_outside(folder: Path, item: str, name: str) -> None:
    dataset = catalogue("-", item)
    wanted = settings(f"pictures/{name}", covers=False)
    try:
        picture = find_pictures(dataset, wanted, folder, lambda _: None)[2]
    except DataError:
        return  # Nothing was found at all.
    assert picture is not None
    assert picture.resolve().parent == folder.resolve()
    assert picture.name == name.replace("{item_id}", item)


def test_what_is_missing_is_drawn_and_called_by_its_name(folder: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    covers = tmp_path / "out" / "covers"
    wanted = settings("pictures/{item_id}.jpg", covers=True)
    found = find_pictures(catalogue("b", "a", "x/y"), wanted, covers, lines.append)
    assert found == [None, covers / "1.png", Path("pictures/a.jpg"), covers / "3.png"]
    with Image.open(covers / "1.png") as cover:
        assert cover.size == (300, 450)
    assert lines[0] == "1 of 3 items have a picture"
    assert "drew 2 covers" in lines[1]
    assert "stand-ins, not pictures of the items" in lines[1]


def test_covers_alone_need_no_folder(tmp_path: Path) -> None:
    found = find_pictures(catalogue("a"), settings(covers=True), tmp_path, lambda _: None)
    assert found == [None, tmp_path / "1.png"]


def test_many_covers_show_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr("builders.visual.pictures._REPORTED", 2)
    find_pictures(catalogue(*"abcde"), settings(covers=True), tmp_path, lines.append)
    assert lines[1:3] == ["drew 2 of 5 covers", "drew 4 of 5 covers"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    wanted = settings(f"{tmp_path}/nowhere/{{item_id}}.jpg")
    for read in (
        lambda: find_pictures(catalogue("a"), wanted, tmp_path, lambda _: None),
        lambda: picture_hash(wanted),
    ):
        with pytest.raises(DataError, match="the folder .*nowhere cannot be read .*No such file"):
            read()


def test_no_picture_at_all_is_a_mistake(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no item has one \(pictures/z.jpg is not there\)"):
        find_pictures(catalogue("z"), settings("pictures/{item_id}.jpg"), folder, lambda _: None)


@pytest.mark.parametrize(
    "images",
    [
        "pictures/a.jpg",
        "pictures/{item_id}{item_id}.jpg",
        "{item_id}/picture.jpg",
        "{item_id}/{item_id}.jpg",
        "pictures/{id}.jpg",
        "pictures/{item_id}.{suffix}",
        "pictures/{item_id.__class__}.jpg",
    ],
)
def test_a_pattern_names_the_item_once_in_the_file(images: str) -> None:
    with pytest.raises(SettingsError, match=r"'data.images': .*expected DIR/\{item_id\}.jpg"):
        settings(images)


def test_the_hash_tells_what_changed(folder: Path) -> None:
    wanted = settings("pictures/{item_id}.jpg")
    start = picture_hash(wanted)
    assert start == picture_hash(wanted) != picture_hash(settings("pictures/{item_id}.png"))
    (folder / "note.txt").write_text("not the pattern's")
    assert picture_hash(wanted) == start
    (folder / "a.jpg").write_bytes(b"another")
    after = picture_hash(wanted)
    os.utime(folder / "c.jpg", ns=(1, 1))
    touched = picture_hash(wanted)
    (folder / "c.jpg").rename(folder / "e.jpg")
    assert len({start, after, touched, picture_hash(wanted)}) == 4


def test_without_pictures_there_is_no_hash() -> None:
    assert picture_hash(settings(covers=True)) == ""
