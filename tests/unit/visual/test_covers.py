"""Covers: the same every time, different where they should be, readable, never a crash."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from builders.visual.covers import SIZE, category_colour, draw_cover
from serving.preview.catalogue import STAND_IN, STAND_IN_KEY


def drawn(folder: Path, title: str, *categories: str) -> bytes:
    file = folder / "cover.png"
    draw_cover(title, categories, file)
    return file.read_bytes()


def top(folder: Path) -> np.ndarray:
    """Where the title stands."""
    with Image.open(folder / "cover.png") as image:
        return np.asarray(image.convert("RGB"), np.float64)[50:290, 20:280]


def test_title_and_categories_decide_every_byte(tmp_path: Path) -> None:
    cover = drawn(tmp_path, "Heat (1995)", "Action", "Crime")
    assert cover == drawn(tmp_path, "Heat (1995)", "Action", "Crime")
    assert cover != drawn(tmp_path, "Heat (1996)", "Action", "Crime")
    assert cover != drawn(tmp_path, "Heat (1995)", "Action")
    assert cover != drawn(tmp_path, "Heat (1995)", "Crime", "Action")


def test_titles_of_another_script_still_differ(tmp_path: Path) -> None:
    assert drawn(tmp_path, "七人の侍", "Drama") != drawn(tmp_path, "生きる", "Drama")


def test_a_cover_says_what_it_is(tmp_path: Path) -> None:
    drawn(tmp_path, "Heat")
    with Image.open(tmp_path / "cover.png") as image:
        assert (image.size, image.mode) == (SIZE, "RGB")
        assert image.info[STAND_IN_KEY] == STAND_IN


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.text(max_size=400) | st.text(st.characters(min_codepoint=0x5D0, max_codepoint=0x10FFFF)),
    st.lists(st.text(max_size=60), max_size=8),
)
def test_no_text_breaks_it(tmp_path: Path, title: str, categories: list[str]) -> None:
    assert drawn(tmp_path, title, *categories).startswith(b"\x89PNG")


def test_surrogates_and_endless_words(tmp_path: Path) -> None:
    for title in ("\ud800", "x" * 100_000, "long " * 10_000, "\x00\u202e\n\t"):
        assert drawn(tmp_path, title, "\udfff").startswith(b"\x89PNG")


def test_accents_are_set_without_the_accent(tmp_path: Path) -> None:
    drawn(tmp_path, "Amelie", "Comedy")
    plain = top(tmp_path).min(axis=2) > 200
    drawn(tmp_path, "Amélie", "Comedy")
    accented = top(tmp_path).min(axis=2) > 200
    # The shapes behind the letters follow the title as it is, and shine through their edges.
    assert (plain & accented).sum() > 0.97 * (plain | accented).sum() > 0


@pytest.mark.parametrize("title", ["A", "A title of some words", "word " * 60, "W" * 200])
def test_letters_stay_inside(tmp_path: Path, title: str) -> None:
    drawn(tmp_path, title, "Drama")
    with Image.open(tmp_path / "cover.png") as image:
        bright = np.asarray(image.convert("RGB")).min(axis=2) > 220
    assert bright.any()
    assert not bright[:, :20].any()
    assert not bright[:, -20:].any()
    assert not bright[295:].any() or bright[390:].any()


def test_colours_come_from_the_categories(tmp_path: Path) -> None:
    means = {}
    for name in ("Action", "Comedy", "Drama"):
        drawn(tmp_path, "Same title", name)
        means[name] = top(tmp_path).mean(axis=(0, 1))
    assert np.abs(means["Action"] - means["Comedy"]).max() > 20
    assert np.abs(means["Comedy"] - means["Drama"]).max() > 20
    assert category_colour("DRAMA") == category_colour("drama")


@given(st.text())
def test_light_letters_are_readable_on_every_colour(name: str) -> None:
    linear = [
        (v / 255 / 12.92) if v <= 10 else ((v / 255 + 0.055) / 1.055) ** 2.4
        for v in category_colour(name)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) > 4.5  # WCAG 2.1, AA, against white
