"""``millirank recommend`` and ``millirank preview`` with a picture; only the server is faked."""

import json
import shutil
import sys

import pytest
from PIL import Image

import millirank
from serving import ask
from serving.client import Recommendation


@pytest.fixture
def asked(tmp_path, monkeypatch, capsys):
    """Run a command beside a release with one titled item; what was asked, and its output."""
    monkeypatch.chdir(tmp_path)
    for model, name, content in (
        ("recommend", "catalogue.json", {"7": "Heat [1995]"}),
        ("recommend_visual", "pictures.json", {"7": "photo.jpg"}),
    ):
        (tmp_path / "repository" / model / "3").mkdir(parents=True)
        (tmp_path / "repository" / model / "3" / name).write_text(json.dumps(content))
    Image.new("RGB", (30, 40)).save("photo.jpg")
    shutil.copy("photo.jpg", "repository/recommend_visual/3")
    asked = []

    def answers(requests, address, protocol, tls=None):
        asked.extend((r, address, protocol) for r in requests)
        return [Recommendation(("7",), (0.5,), 3, 0.001) for _ in requests]

    monkeypatch.setattr(ask, "_answers", answers)

    def run(*arguments):
        command = ["millirank", *arguments, "--user", "42", "--repository", "repository"]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stopped:
            millirank.main()
        output = capsys.readouterr()
        assert (stopped.value.code, output.err) == (0, "")
        return asked, " ".join(output.out.split())

    return run


def test_recommend_prints_titles(asked):
    requests, out = asked("recommend", "-k", "3", "--candidate", "7", "--recent", "8")
    [(request, address, protocol)] = requests
    assert (request.user_id, request.k, request.candidates) == ("42", 3, ("7",))
    assert (request.recent, request.image) == (("8",), None)
    assert (address, protocol) == ("127.0.0.1:8001", "grpc")
    assert "1 recommendations for user 42 item" in out
    assert "Heat [1995]" in out


def test_recommend_says_that_a_picture_took_part(asked):
    requests, out = asked("recommend", "--image", "photo.jpg", "--protocol", "http")
    [(request, address, _)] = requests
    assert str(request.image) == "photo.jpg"
    assert address == "127.0.0.1:8000"
    assert "for user 42, and the picture photo.jpg" in out


def test_preview_writes_one_page(asked, tmp_path):
    requests, out = asked(
        "preview", "--image", "photo.jpg", "--out", "page.html", "--server", "a:1"
    )
    assert [request.image is None for request, *_ in requests] == [False, True, False]
    assert {(request.k, address) for request, address, _ in requests} == {(12, "a:1")}
    assert "wrote page.html: 3 of 3 items with a picture" in out
    assert "Heat [1995]" in (tmp_path / "page.html").read_text()


def test_preview_without_a_picture_asks_once(asked, tmp_path):
    requests, _ = asked("preview")
    assert len(requests) == 1
    assert (tmp_path / "preview.html").is_file()
