"""The page on which a person judges: complete, escaped, and without the network."""

from __future__ import annotations

import json
import re
import sys
from base64 import b64decode
from html import unescape
from html.parser import HTMLParser
from importlib import reload
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from builders.visual.covers import draw_cover
from ensembles.contracts import Limits
from ensembles.errors import InvalidRequest, MissingExtra, SettingsError
from serving.messages import Recommendation, Request
from serving.preview import thumbnails, write
from serving.preview.catalogue import picture_paths
from serving.preview.thumbnails import thumbnail
from serving.preview.write import write_preview

EVIL = '<script>alert(1)</script> & "quotes"'


class Parsed(HTMLParser):
    """Tags and texts of a page; every tag that is opened must be closed."""

    VOID = ("meta", "img")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def photo(path: Path, size: tuple[int, int] = (300, 450), **options: Any) -> Path:
    Image.new("RGB", size, (10, 120, 200)).save(path, **options)
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Release 3 with the items a (photo), b (cover), c (file is missing), d (no picture)."""
    repository = tmp_path / "repository"
    for model, name, content in (
        ("recommend", "catalogue.json", {"a": EVIL, "b": "Heat (1995)", "c": "Lost"}),
        (
            "recommend_visual",
            "pictures.json",
            {"a": str(photo(tmp_path / "a.jpg")), "b": "covers/2.png", "c": "covers/3.png"},
        ),
    ):
        folder = repository / model / "3"
        folder.mkdir(parents=True)
        (folder / name).write_text(json.dumps(content))
    (folder / "covers").mkdir()
    draw_cover("Heat (1995)", ["Crime"], folder / "covers" / "2.png")
    return repository


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests that are asked; the picture brings a and b, the user d and c, both b and d."""
    asked: list[Request] = []

    def answer(request: Request) -> Recommendation:
        kind = (request.user_id == "42", request.image is not None)
        items = {(False, True): "ab", (True, False): "dc", (True, True): "bd"}[kind]
        return Recommendation(tuple(items[: request.k]), (1.5, 0.25)[: request.k], 3, 0.001)

    def ask_all(requests: list[Request], *_: object) -> tuple[list[Recommendation], str]:
        asked.extend(requests)
        return [answer(r) for r in requests], "a note"

    monkeypatch.setattr(write, "ask_all", ask_all)
    return asked


def written(request: Request, repository: Path) -> tuple[Parsed, str, str]:
    out = repository.parent / "page.html"
    line = write_preview(request, "", "grpc", repository, out)
    html = out.read_text(encoding="utf-8")
    return Parsed(html), html, line


def test_picture_user_and_both_stand_side_by_side(
    asked: list[Request], repository: Path, tmp_path: Path
) -> None:
    page, html, line = written(Request("42", 2, image=tmp_path / "a.jpg"), repository)
    assert [(r.user_id == "42", r.image is not None, r.k) for r in asked] == [
        (False, True, 2),
        (True, False, 2),
        (True, True, 2),
    ]
    lists = [section.split("<li>")[1:] for section in html.split("<section>")[1:]]
    titles = [[re.findall(r'title="(.)"', card)[0] for card in cards] for cards in lists]
    assert titles == [["a", "b"], ["d", "c"], ["b", "d"]]
    assert page.texts.count("1") == page.texts.count("2") == 3
    assert page.texts.count("1.500") == page.texts.count("0.250") == 3
    assert "'both' shares 1 with 'picture alone' and 1 with 'user alone' of its 2" in unescape(html)
    assert [re.findall(r'"tag">([^<]+)', card) for card in lists[2]] == [
        ["picture alone"],
        ["user alone"],
    ]
    assert line.startswith("a note\nwrote ")
    assert "3 of 6 items with a picture" in line


def test_stand_ins_and_empty_frames_are_told_apart(
    asked: list[Request], repository: Path, tmp_path: Path
) -> None:
    page, html, _ = written(Request("42", 2, image=tmp_path / "a.jpg"), repository)
    assert page.texts.count("stand-in cover") == 2
    assert "2 of 6 pictures are typographic stand-ins" in html
    assert "3 of 6 items have no picture here" in html
    assert len(page.of("img")) == 4  # The picture of the request is the fourth.
    assert html.count('class="frame empty"') == 3
    assert page.texts.count("Lost") == 2  # In the frame and under it.
    assert page.texts.count("d") == 4  # Its title is not known: the id.


def test_without_a_picture_the_user_is_asked_alone(asked: list[Request], repository: Path) -> None:
    page, _, _ = written(Request("42", 2), repository)
    assert len(asked) == 1
    assert len(page.of("section")) == 1
    assert page.of("figure") == []


def test_no_text_becomes_markup_and_nothing_is_fetched(
    asked: list[Request], repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = [Recommendation(("a", EVIL), (1.0, 0.5), 3, 0.001)]
    monkeypatch.setattr(write, "ask_all", lambda *_: (answer, ""))
    page, html, _ = written(Request(EVIL, 2), repository)
    assert page.of("script") == page.of("link") == page.of("a") == []
    assert page.texts.count(EVIL) == 3  # Title of one; id of the other, in its frame and under it.
    assert all((img["src"] or "").startswith("data:image/jpeg;base64,") for img in page.of("img"))
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in html
    policy = next(m["content"] for m in page.of("meta") if "http-equiv" in m)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_an_answer_without_items(
    asked: list[Request], repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "ask_all", lambda *_: ([Recommendation((), (), 3, 0.1)], ""))
    assert "No item was recommended." in written(Request("42"), repository)[1]


def test_a_repository_elsewhere_leaves_ids_and_empty_frames(
    asked: list[Request], tmp_path: Path
) -> None:
    _, html, line = written(Request("42", 2), tmp_path / "nowhere")
    assert html.count('class="frame empty"') == 2
    assert "0 of 2 items with a picture" in line


def test_a_picture_that_cannot_be_read_is_told_before_asking(
    asked: list[Request], repository: Path
) -> None:
    with pytest.raises(InvalidRequest, match="nowhere.jpg cannot be read"):
        written(Request("42", image="nowhere.jpg"), repository)
    assert asked == []


def test_a_page_that_cannot_be_written(asked: list[Request], repository: Path) -> None:
    with pytest.raises(SettingsError, match="cannot write the page .*: Is a directory"):
        write_preview(Request("42"), "", "grpc", repository, repository)


@pytest.mark.parametrize("content", ["", "[1]", "7", '"text"', "{", "\ud7ff"])
def test_a_damaged_list_of_pictures_is_no_list(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "recommend_visual" / "3"
    folder.mkdir(parents=True)
    (folder / "pictures.json").write_text(content)
    assert picture_paths(tmp_path, 3) == {}


def test_relative_pictures_lie_in_the_release(repository: Path, tmp_path: Path) -> None:
    found = picture_paths(repository, 3)
    assert found["a"] == tmp_path / "a.jpg"
    assert found["b"] == repository / "recommend_visual" / "3" / "covers" / "2.png"


def small(path: Path) -> Image.Image:
    made = thumbnail(path)
    assert made is not None
    return Image.open(BytesIO(b64decode(made.uri.removeprefix("data:image/jpeg;base64,"))))


def test_thumbnails_are_small_upright_and_on_white(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = small(photo(tmp_path / "turned.jpg", (3000, 2000), exif=exif))
    assert turned.height > turned.width
    assert turned.width <= 260
    assert turned.height <= 390
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.webp", lossless=True)
    assert min(small(tmp_path / "clear.webp").convert("L").tobytes()) > 250


def test_what_is_no_picture_has_no_thumbnail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for content in (b"", b"text", photo(tmp_path / "a.png").read_bytes()[:200]):
        assert thumbnail(content) is None
    assert thumbnail(tmp_path / "nowhere.jpg") is None
    assert thumbnail(tmp_path) is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert thumbnail(photo(tmp_path / "large.png", (12, 12))) is None
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(thumbnails, "LIMITS", Limits(image_pixels=100))
    assert thumbnail(tmp_path / "large.png") is None


def test_without_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match="pillow is not installed"):
        reload(thumbnails)
