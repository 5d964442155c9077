"""Asks with the picture, with the user and with both, and writes the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from ensembles.errors import SettingsError
from serving.ask import ask_all
from serving.client import ProtocolName, Recommendation, Request
from serving.preview.catalogue import picture_paths
from serving.preview.page import Card, List, page
from serving.preview.thumbnails import thumbnail
from serving.repository import titles
from serving.request_image import image_bytes

_USER = ("user alone", "What the user's history says; no picture took part.")
_WAYS = (
    ("picture alone", "A user without a history asks with the picture: items that look like it."),
    _USER,
    ("both", "The user asks with the picture: the history and the looks, blended."),
)


def write_preview(
    request: Request, address: str, protocol: ProtocolName, repository: Path, out: Path
) -> str:
    """Ask, and write the page ``out``; a sentence about it.

    Without a picture in the request, the page shows what the user gets.

    Args:
        address, protocol, repository: as in ``serving.ask``; titles and pictures of the items
            come from the repository.

    Raises:
        RequestError, ServerError: as ``serving.ask``.
        SettingsError: ``out`` cannot be written.
    """
    ways, requests = [_USER], [request]
    query = None
    if request.image is not None:
        content = image_bytes(request.image)
        nobody = f"nobody-{uuid4()}"
        seen = replace(request, image=content)
        requests = [replace(seen, user_id=nobody), replace(request, image=None), seen]
        ways, query = list(_WAYS), thumbnail(content)
    answers, note = ask_all(requests, address, protocol, repository)
    release = answers[-1].release
    cards = _cards(answers, titles(repository, release), picture_paths(repository, release))
    lists = [List(*way, found) for way, found in zip(ways, cards, strict=True)]
    try:
        html = page(request.user_id, release, query, lists)
        out.write_text(html, encoding="utf-8", errors="replace")
    except OSError as e:
        raise SettingsError(f"cannot write the page {out}: {e.strerror}") from e
    pictures = [card.thumbnail for found in cards for card in found]
    about = f"{len(pictures) - pictures.count(None)} of {len(pictures)} items with a picture"
    return "\n".join(filter(None, (note, f"wrote {out}: {about}; open it in a browser")))


def _cards(
    answers: Sequence[Recommendation], known: Mapping[str, str], pictures: Mapping[str, Path]
) -> list[list[Card]]:
    """The items of each answer; those of the last say which of the others hold them, too."""
    small = lru_cache(maxsize=None)(thumbnail)

    def card(item: str, score: float) -> Card:
        path = pictures.get(item)
        return Card(item, known.get(item) or item, score, small(path) if path else None)

    found = [[card(*pair) for pair in zip(a.items, a.scores, strict=True)] for a in answers]
    others = [(name, set(a.items)) for (name, _), a in zip(_WAYS, answers[:-1], strict=False)]
    found[-1] = [
        replace(last, also=tuple(name for name, items in others if last.item in items))
        for last in found[-1]
    ]
    return found
