"""What is asked and what is answered, and both as tensors: shared by every protocol."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ensembles import contracts as c
from ensembles.contracts import TensorSpec
from ensembles.errors import InvalidRequest, RequestError
from ensembles.recommend import RECOMMEND, RECOMMEND_VISUAL
from serving.request_image import image_bytes

if TYPE_CHECKING:
    from PIL.Image import Image


UNLOADED = "has no available versions"
"""What a server says of an ensemble that it answered with and has unloaded: it is about to end."""


@dataclass(frozen=True)
class Request:
    """What to recommend to one user.

    Attributes:
        user_id: an unknown one is a cold start, not an error.
        k: how many items.
        candidates: ids to rank; the server retrieves its own where there are none.
        recent: ids that the user touched a moment ago, newest last.
        image: what the items should look like: path of a JPEG, PNG or WebP file, the bytes of
            one, or a picture of Pillow.
    """

    user_id: str
    k: int = c.LIMITS.k_default
    candidates: Sequence[str] | None = None
    recent: Sequence[str] | None = None
    image: str | os.PathLike[str] | bytes | Image | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Recommendation:
    """The answer to one request.

    Attributes:
        items: external ids, best first; fewer than k only when there are no more.
        scores: of the items.
        release: that answered.
        seconds: from sending to the whole answer, on the caller's clock.
        degraded: the server could not read what it knows of the user; the answer comes from what
            the request carries and from popularity.
        request_id: of the call, as it stands in the server's log and traces.
    """

    items: tuple[str, ...]
    scores: tuple[float, ...]
    release: int
    seconds: float
    degraded: bool = False
    request_id: str = field(default="", compare=False)


@dataclass(frozen=True)
class Sent:
    """What goes along with the tensors of a request: its id, and headers of the trace it is in."""

    request_id: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


BARE = Sent()


@dataclass(frozen=True)
class WireTensor:
    """A tensor as protocols carry it: BYTES as length and content, numbers little endian.

    ``region`` names the shared memory that holds the content; ``""`` sends it along.
    """

    spec: TensorSpec
    shape: tuple[int, ...]
    content: bytes
    region: str = ""


def encode(requests: Sequence[Request]) -> list[WireTensor]:
    """One row a request.

    Every input is sent, an empty list where nothing is given: Triton batches only requests that
    carry the same inputs. A picture is sent by those alone that have one.

    Raises:
        InvalidRequest: there is no request, k is no 32-bit number, an id is no text, some rows
            have a picture and others none, or one is unreadable or too large.
        MissingExtra: a picture of Pillow, without Pillow.
    """
    if not requests:
        raise InvalidRequest("expected at least one request, got none")
    pictures = [r.image for r in requests if r.image is not None]
    if pictures and len(pictures) < len(requests):
        raise InvalidRequest(
            f"{c.IMAGE.name}: expected a picture in every request of one call or in none, got "
            f"{len(pictures)} in {len(requests)}; send those without in a call of their own"
        )
    return [*_encode_basics(requests), *_image_tensor([image_bytes(p) for p in pictures])]


def _encode_basics(requests: Sequence[Request]) -> list[WireTensor]:
    try:
        return [
            bytes_tensor(c.USER_ID, [[r.user_id] for r in requests]),
            WireTensor(
                c.K, (len(requests), 1), struct.pack(f"<{len(requests)}i", *(r.k for r in requests))
            ),
            bytes_tensor(c.CANDIDATES, [r.candidates or () for r in requests]),
            bytes_tensor(c.RECENT, [r.recent or () for r in requests]),
        ]
    except (struct.error, UnicodeEncodeError) as e:
        raise InvalidRequest(f"expected ids that are text and k as a 32-bit number: {e}") from e


def bytes_tensor(spec: TensorSpec, rows: Sequence[Sequence[str]]) -> WireTensor:
    """A BYTES tensor; shorter rows are filled up with empty strings."""
    width = max(map(len, rows))
    parts: list[bytes] = []
    for row in rows:
        for value in row:
            raw = value.encode()
            parts += (struct.pack("<I", len(raw)), raw)
        parts.append(bytes(4 * (width - len(row))))
    return WireTensor(spec, (len(rows), width), b"".join(parts))


def _image_tensor(images: Sequence[bytes]) -> list[WireTensor]:
    """The tensor of some pictures; none of none."""
    if not images:
        return []
    longest = max(map(len, images))
    content = b"".join(image.ljust(longest, b"\0") for image in images)
    return [WireTensor(c.IMAGE, (len(images), longest), content)]


def decode(
    contents: Mapping[str, bytes], rows: int, release: str, seconds: float, request_id: str = ""
) -> list[Recommendation]:
    """Recommendations, one a row, out of the raw content of the answer's tensors.

    Raises:
        RequestError: the answer is not what this client understands.
    """
    try:
        ids = [i.decode() for i in split_bytes(contents[c.ITEM_ID.name])]
        scores = struct.unpack(f"<{len(ids)}f", contents[c.SCORE.name])
        versions = _releases(contents, rows, release)
        # An older server does not say.
        degraded = struct.unpack(f"<{rows}?", contents.get(c.DEGRADED.name, bytes(rows)))
    except (KeyError, ValueError, struct.error) as e:
        raise RequestError(
            f"expected {c.ITEM_ID.name} and {c.SCORE.name} of the same length in the answer, "
            f"got something else ({e!r}); is this server one of ours?"
        ) from e
    slots = len(ids) // rows
    answers = []
    for row, start in enumerate(range(0, rows * slots, slots) if slots else [0] * rows):
        used = [i for i in range(start, start + slots) if ids[i]]
        answers.append(
            Recommendation(
                tuple(ids[i] for i in used),
                tuple(scores[i] for i in used),
                versions[row],
                seconds,
                degraded[row],
                request_id,
            )
        )
    return answers


def _releases(contents: Mapping[str, bytes], rows: int, version: str) -> Sequence[int]:
    """While a release is tried, the answer itself says who gave each row."""
    if "release" in contents:
        return struct.unpack(f"<{rows}i", contents["release"])
    return [int(version)] * rows


def split_bytes(content: bytes) -> list[bytes]:
    """Elements of a BYTES tensor as it travels: each with its length in front."""
    values, at = [], 0
    while at < len(content):
        (length,) = struct.unpack_from("<I", content, at)
        values.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return values


def without_prefix(text: str) -> str:
    """A server's sentence without the name of the ensemble in front, which says nothing new."""
    return re.sub(r"^in ensemble '[^']*', ", "", text)


def ensemble_for(tensors: Sequence[WireTensor]) -> str:
    """The ensemble that takes these inputs."""
    visual = any(t.spec.name == c.IMAGE.name for t in tensors)
    return (RECOMMEND_VISUAL if visual else RECOMMEND).name


def check_pictures_are_taken(error: RequestError, model: str) -> None:
    """Say what is meant where a server does not know ``recommend_visual``.

    Raises:
        InvalidRequest: that is what ``error`` is about.
    """
    unknown = "unknown model" in str(error) and UNLOADED not in str(error)
    if model == RECOMMEND_VISUAL.name and unknown:
        raise InvalidRequest(
            "this server's release takes no pictures; build with data.images or visual.covers, "
            "or ask without a picture"
        ) from error
