"""Typographic covers, drawn from title and categories alone: stand-ins for pictures."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from itertools import count
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from serving.preview.catalogue import STAND_IN, STAND_IN_KEY

SIZE = (300, 450)
"""Columns and rows of a cover, in pixels."""
_MARGIN = 26
_TITLE_BOX = (SIZE[0] - 2 * _MARGIN, 236)
_TITLE_SIZES = (50, 44, 39, 34, 30, 26, 22, 19, 16, 13)
_SMALL = 13
_LONGEST_TITLE = 300
_PAPER = (250, 248, 243)
# What the built-in font lacks and what no decomposition gives.
_PLAIN = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "ß": "ss", "æ": "ae", "Æ": "AE", "œ": "oe"}
    | {"Œ": "OE", "đ": "d", "Đ": "D", "ð": "d", "þ": "th", "Þ": "Th", "\u0131": "i", "\u2013": "-"}
)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_Colour = tuple[int, int, int]


def draw_cover(title: str, categories: Sequence[str], file: Path) -> None:
    """Draw a PNG of ``SIZE``; the same title and categories give the same bytes.

    Colours come from the categories, shapes from the title. Letters that the font of Pillow lacks
    are set without their accents, or left out: a title in another script has its shapes only.
    """
    image = _background(title, [category_colour(name) for name in categories] or [_grey(0.35)])
    draw = ImageDraw.Draw(image)
    draw.rectangle((_MARGIN, 30, _MARGIN + 44, 34), fill=_PAPER)
    name, addition = _parted(_printable(title))
    font, lines = _fitted(name)
    draw.multiline_text((_MARGIN, 50), "\n".join(lines), fill=_PAPER, font=font, spacing=5)
    small = _font(_SMALL)
    if addition:
        draw.text((_MARGIN, SIZE[1] - 78), addition, fill=_PAPER, font=small)
    named = " / ".join(filter(None, map(_printable, categories))).upper()
    foot = "\n".join(_wrapped(named, small, _TITLE_BOX[0])[:2])
    draw.multiline_text((_MARGIN, SIZE[1] - 56), foot, fill=_PAPER, font=small)
    about = PngImagePlugin.PngInfo()
    about.add_text(STAND_IN_KEY, STAND_IN)
    image.save(file, format="PNG", pnginfo=about)


def category_colour(name: str, lightness: float = 0.42) -> _Colour:
    """A colour by the hash of the name, always dark enough for light letters.

    Hues are taken in Oklch, where equal lightness looks equally light (B. Ottosson, "A perceptual
    color space for image processing", 2020).
    """
    hue = 2 * math.pi * next(_numbers(name.casefold()))
    return _oklab(lightness, 0.11 * math.cos(hue), 0.11 * math.sin(hue))


def _grey(lightness: float) -> _Colour:
    return _oklab(lightness, 0.0, 0.0)


def _oklab(lightness: float, a: float, b: float) -> _Colour:
    """Red, green and blue, 0 to 255, of a colour in Oklab."""
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    red, green, blue = (round(255 * _gamma(min(max(v, 0.0), 1.0))) for v in linear)
    return red, green, blue


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _background(title: str, colours: Sequence[_Colour]) -> Image.Image:
    """The categories' colours from top to bottom, and large discs of them where the title says."""
    stops = Image.new("RGB", (1, max(len(colours), 2)))
    stops.putdata([colours[min(n, len(colours) - 1)] for n in range(stops.height)])
    image = stops.resize(SIZE, Image.Resampling.BILINEAR)
    numbers = _numbers(title)
    for n in range(3):
        # At twice the size, so that the edges are smooth when it is halved.
        radius = 120 + 260 * next(numbers)
        x, y = 2 * SIZE[0] * next(numbers), 2 * SIZE[1] * (0.45 + 0.5 * next(numbers))
        disc = Image.new("L", (2 * SIZE[0], 2 * SIZE[1]))
        box = (x - radius, y - radius, x + radius, y + radius)
        ImageDraw.Draw(disc).ellipse(box, fill=70 + 25 * n)
        colour = colours[(n + 1) % len(colours)]
        image.paste(tuple(min(255, 30 + v * 3 // 2) for v in colour), mask=disc.reduce(2))
    # Letters at the foot must be readable on the lightest disc.
    shade = Image.linear_gradient("L").resize((SIZE[0], 150)).point(lambda v: v * 2 // 3)
    image.paste((0, 0, 0), (0, SIZE[1] - 150), shade)
    return image


def _numbers(text: str) -> Iterator[float]:
    """Numbers from 0 to 1 that only the text decides."""
    digest = sha256(text.encode(errors="replace")).digest()
    yield from (int.from_bytes(digest[n : n + 2]) / 2**16 for n in range(0, len(digest), 2))


def _printable(text: str) -> str:
    """The text in letters of the built-in font, with single spaces."""
    plain = unicodedata.normalize("NFKD", text[:_LONGEST_TITLE].translate(_PLAIN))
    return " ".join("".join(c if not c.isspace() else " " for c in plain if _known(c)).split())


@lru_cache(maxsize=4096)
def _known(character: str) -> bool:
    """Whether the font draws something else than the box for what it lacks."""
    if character.isspace():
        return True
    if unicodedata.category(character)[0] in "CM":
        return False
    font = _font(_SMALL)
    return bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))


def _parted(title: str) -> tuple[str, str]:
    """``("Heat", "1995")`` of "Heat (1995)"."""
    found = re.fullmatch(r"(.+?) ?\(([^()]{1,30})\)", title)
    return (found[1], found[2]) if found else (title, "")


def _fitted(text: str) -> tuple[_Font, list[str]]:
    """The largest font in which the text fits its box; the last one cuts it."""
    width, height = _TITLE_BOX
    for size in _TITLE_SIZES:
        font, rows = _font(size), height // (size + 9)
        lines = _wrapped(text, font, width)
        whole = all(font.getlength(word) <= width for word in text.split())
        if len(lines) <= rows and (whole or size == _TITLE_SIZES[-1]):
            break
    return font, lines[:rows]


def _wrapped(text: str, font: _Font, width: float) -> list[str]:
    """Lines of at most ``width`` pixels; a word that is longer is cut."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
            continue
        rest = word
        while font.getlength(rest) > width:
            fits = next(n for n in count(1) if font.getlength(rest[: n + 1]) > width)
            lines.append(rest[:fits])
            rest = rest[fits:]
        lines.append(rest)
    return lines


@lru_cache(maxsize=32)
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)
