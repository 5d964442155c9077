"""One bad picture harms nobody: not its batch mates, and not the batches after it."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.damaged_images import KINDS, damaged, drawn, encode, huge_jpeg, huge_png
from tests.unit.model_repository.preprocess_step import (
    LIMITS,
    MEAN,
    SIZE,
    STD,
    STEP,
    encoded,
    open_in,
)


def corrupt_png(picture: Image.Image) -> bytes:
    """A PNG with whole chunks, whose pixels cannot be unpacked."""
    data = bytearray(encode(picture, "PNG"))
    start = data.index(b"IDAT") + 4
    data[start + 10 : start + 40] = bytes(30)
    return bytes(data)


GOOD = [encode(drawn(i, (70 + i, 50)), KINDS[i % 3]) for i in range(4)]
REFUSED_BY_HEADER = GOOD[0][:-30]
REFUSED_BY_DALI = corrupt_png(drawn(9))
REFUSED_BY_PILLOW = corrupt_png(drawn(9).convert("RGBA"))
FILES = [*GOOD, REFUSED_BY_HEADER, REFUSED_BY_DALI, REFUSED_BY_PILLOW]


@pytest.fixture(scope="module")
def preprocessor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    opened = open_in(tmp_path_factory.mktemp("pipeline"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def alone(preprocessor: Any) -> list[Any]:
    """What each of ``FILES`` gives alone."""
    return [preprocessor.pixels(encoded(file))[0] for file in FILES]


def same(found: Any, expected: Any) -> bool:
    if isinstance(expected, Exception):
        return isinstance(found, STEP.BadImage) and str(found) == str(expected)
    return bool(np.array_equal(found, expected))


def test_some_pass_the_check_and_are_refused_later(alone: list[Any]) -> None:
    for place, file in enumerate(FILES):
        assert isinstance(alone[place], STEP.BadImage) == (place >= len(GOOD))
        if file is not REFUSED_BY_HEADER:
            STEP.read_header(file)
    assert "a whole JPEG" in str(alone[4])
    assert "expected a PNG that can be decoded, got a damaged one" in str(alone[5])
    assert str(alone[5]) == str(alone[6])


@settings(max_examples=40)
@given(st.lists(st.integers(0, len(FILES) - 1), max_size=40))
def test_each_picture_is_answered_as_if_alone(
    preprocessor: Any, alone: list[Any], order: list[int]
) -> None:
    found = preprocessor.pixels(encoded(*(FILES[i] for i in order)))
    assert len(found) == len(order)
    assert all(same(f, alone[i]) for f, i in zip(found, order, strict=True))


def test_damaged_pictures_harm_no_later_ones(preprocessor: Any, alone: list[Any]) -> None:
    for file in damaged(96, GOOD):
        (outcome,) = preprocessor.pixels(encoded(file.data))
        if isinstance(outcome, STEP.BadImage):
            assert str(outcome).startswith("expected"), file.name
        else:
            assert not file.refused, file.name
            assert np.isfinite(outcome).all(), file.name
    found = preprocessor.pixels(encoded(*FILES))
    assert all(same(f, a) for f, a in zip(found, alone, strict=True))


def test_limits(tmp_path: Path) -> None:
    limits = STEP.Limits(image_bytes=20_000, image_pixels=50_000)
    bulky = encode(Image.effect_noise((200, 200), 90), "PNG")
    opened = open_in(tmp_path, limits)
    outcomes = opened.pixels(encoded(huge_jpeg(), huge_png(), bulky, GOOD[0]))
    for outcome in outcomes[:2]:
        assert str(outcome) == (
            "expected at most 50,000 pixels, got 65,000 x 65,000; send a smaller picture"
        )
    assert f"expected at most 20,000 bytes, got {len(bulky):,}" in str(outcomes[2])
    assert outcomes[3].shape == (3, SIZE, SIZE)


@pytest.mark.parametrize(
    ("pixels", "runs"), [(1_000_000, [32, 32, 6]), (70 * 50 * 3, [3] * 23 + [1]), (3500, [1] * 70)]
)
def test_a_run_holds_no_more_pixels_than_a_picture_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: int, runs: list[int]
) -> None:
    opened = open_in(tmp_path, STEP.Limits(image_bytes=1_000_000, image_pixels=pixels))
    counted = []
    decode = opened._decode
    monkeypatch.setattr(opened, "_decode", lambda part: counted.append(len(part)) or decode(part))
    files = [encode(drawn(i, (70, 50)), "PNG") for i in range(5)]
    found = opened.pixels(encoded(*files * 14))
    assert counted == runs
    first = opened.pixels(encoded(*files))
    assert all(same(f, first[i % 5]) for i, f in enumerate(found))


def test_nothing_holds_on_to_pictures(preprocessor: Any) -> None:
    gc.disable()  # what only it can free lies around for long, in the memory of Triton's requests
    try:
        images = [image.copy() for image in encoded(*FILES, b"GIF89a", GOOD[0])]
        alive = [weakref.ref(image) for image in images]
        outcomes = preprocessor.pixels(images)
        del images
        assert [ref() for ref in alive] == [None] * len(alive)
        assert len(outcomes) == len(alive)
    finally:
        gc.enable()


def test_no_pictures(preprocessor: Any) -> None:
    assert preprocessor.pixels([]) == []


def test_parameters_are_whole_numbers() -> None:
    given = {"image_bytes": "10", "image_pixels": "20"}
    assert STEP.Limits.parse(given | {"more": "x"}) == STEP.Limits(10, 20)
    for wrong in ({"image_bytes": "10"}, given | {"image_pixels": "many"}):
        with pytest.raises(ValueError, match="needs the parameters"):
            STEP.Limits.parse(wrong)


@pytest.mark.parametrize("harm", ["no folder", "no size", "no pipeline", "garbage", "other size"])
def test_a_damaged_folder_is_refused(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "pipeline"
    if harm != "no folder":
        STEP.write_pipelines(folder, SIZE, MEAN, STD)
    if harm == "no size":
        (folder / "pipeline.json").write_text("{}")
    if harm == "no pipeline":
        (folder / "cpu.dali").unlink()
    if harm == "garbage":
        (folder / "cpu.dali").write_bytes(b"garbage")
    if harm == "other size":
        (folder / "pipeline.json").write_text(json.dumps({"size": SIZE + 1}))
    with pytest.raises(ValueError, match="expected .*; build the release again"):
        STEP.Preprocessor.open(folder, LIMITS)


def test_the_pipeline_of_a_gpu_is_written_without_one(tmp_path: Path) -> None:
    STEP.write_pipelines(tmp_path, SIZE, MEAN, STD)
    assert b"mixed" in (tmp_path / "gpu.dali").read_bytes()
    assert b"mixed" not in (tmp_path / "cpu.dali").read_bytes()
    with pytest.raises(ValueError, match="expected a preprocessing pipeline"):
        STEP.Preprocessor.open(tmp_path, LIMITS, device=99)


def test_service_names_the_row(preprocessor: Any, alone: list[Any]) -> None:
    def request(*files: bytes) -> dict[str, Any]:
        rows = np.zeros((len(files), max(map(len, files))), np.uint8)
        for place, file in enumerate(files):
            rows[place, : len(file)] = np.frombuffer(file, np.uint8)
        return {"image": rows, "user_id": np.array([[b"u"]] * len(files), object)}

    answers = STEP.PreprocessService(preprocessor).answer(
        [
            request(GOOD[0], GOOD[1]),
            request(GOOD[2], REFUSED_BY_DALI, b"GIF89a"),
            {"user_id": np.array([[b"u"]], object)},
            request(b"GIF89a"),
            request(GOOD[3]),
        ]
    )
    np.testing.assert_array_equal(answers[0], np.stack(alone[:2]))
    assert str(answers[1]).startswith("image: row 2 of 3: expected a PNG that can be decoded")
    assert str(answers[2]) == (
        "image: expected one encoded JPEG, PNG or WebP a row, but the request has no such input"
    )
    assert str(answers[3]).startswith("image: expected one encoded JPEG, PNG or WebP, got a GIF")
    np.testing.assert_array_equal(answers[4], alone[3][None])
    assert STEP.PreprocessService.count(answers) == (3,)
