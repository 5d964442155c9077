"""The page: the picture of the request and those of the items, in one HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from serving.preview.style import STYLE
from serving.preview.thumbnails import Thumbnail

# Nothing is fetched and nothing runs, whatever stands in a title.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Card:
    """One recommended item.

    Attributes:
        title: external id where the title is not known.
        thumbnail: None: an empty frame stands in its place.
        also: names of the other lists that hold the item.
    """

    item: str
    title: str
    score: float
    thumbnail: Thumbnail | None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class List:
    """Recommendations for one way of asking, best first."""

    name: str
    about: str
    cards: Sequence[Card]


def page(user: str, release: int, query: Thumbnail | None, lists: Sequence[List]) -> str:
    """HTML without scripts and without links; all texts are escaped.

    Args:
        query: picture of the request, if it has one.
    """
    title = f"Recommendations for user {escape(user)}"
    body = "\n".join([*_head(title, release, query, lists), *map(_list, lists)])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style></head>\n"
        f"<body>{body}\n</main></body></html>\n"
    )


def _head(
    title: str, release: int, query: Thumbnail | None, lists: Sequence[List]
) -> Iterator[str]:
    yield "<header>"
    if query:
        yield f'<figure><img src="{query.uri}" alt="picture of the request">'
        yield "<figcaption>the picture asked with</figcaption></figure>"
    yield f'<div><h1>{title}</h1><p class="soft">release {release}</p>'
    yield f"<p>{escape(_reading(lists))}</p>"
    pictures = [card.thumbnail for one in lists for card in one.cards]
    if drawn := sum(p is not None and p.stand_in for p in pictures):
        yield (
            f'<p class="soft">{drawn} of {len(pictures)} pictures are typographic stand-ins, drawn '
            "from title and categories: they show nothing of the item.</p>"
        )
    if lacking := pictures.count(None):
        yield f'<p class="soft">{lacking} of {len(pictures)} items have no picture here.</p>'
    yield "</div></header>\n<main>"


def _reading(lists: Sequence[List]) -> str:
    if len(lists) == 1:
        return "Do these belong to what the user chose before? Scores only order a list."
    *_, blend = lists
    shares = " and ".join(
        f"{sum(one.name in card.also for card in blend.cards)} with '{one.name}'"
        for one in lists[:-1]
    )
    return (
        f"'{blend.name}' shares {shares} of its {len(blend.cards)} items; a tag says which. Do the "
        "items look like the picture, and do they still suit the user? Scores order one list and "
        "compare with no other."
    )


def _list(one: List) -> str:
    cards = "\n".join(_card(rank, card) for rank, card in enumerate(one.cards, 1))
    nothing = "" if one.cards else "<p>No item was recommended.</p>"
    return (
        f'<section><h2>{escape(one.name)}</h2><p class="soft">{escape(one.about)}</p>\n'
        f"<ol>{cards}</ol>{nothing}</section>"
    )


def _card(rank: int, card: Card) -> str:
    title = escape(card.title)
    if card.thumbnail is None:
        frame = f'<div class="frame empty">{title}</div>'
    else:
        frame = f'<div class="frame"><img src="{card.thumbnail.uri}" alt="{title}"></div>'
    drawn = card.thumbnail is not None and card.thumbnail.stand_in
    note = '<span class="tag note">stand-in cover</span>' if drawn else ""
    tags = "".join(f'<span class="tag">{escape(name)}</span>' for name in card.also)
    return (
        f'<li>{frame}<div class="line"><b>{rank}</b><span class="soft">{card.score:.3f}</span>'
        f'</div><div class="title" title="{escape(card.item)}">{title}</div>{note}{tags}</li>'
    )
