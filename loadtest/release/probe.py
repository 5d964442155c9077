"""Quality under load: held-out users, asked of both releases while others are served."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from ensembles.errors import LoadTestError, RequestError
from ensembles.recommend import RECOMMEND
from loadtest.quality import gain
from serving.client import Client, Request
from serving.release.trial import CANDIDATE, CURRENT, role_of

PAUSE_SECONDS = 0.02
"""Between two users: the probe is to be no load of its own."""
Query = tuple[Request, str]
"""What a user is asked with, and the item that it was denied."""
Ask = Callable[[Request, int, str], tuple[str, ...]]
"""Items for a request, by a role; the number says which of the servers is asked."""
_NOBODY = "millirank-probe"
_QUERIES = "queries.json"


@dataclass(frozen=True)
class Probe:
    """What both releases were worth.

    Attributes:
        users: that were asked of both.
        current, candidate: NDCG@10 of the held-out items.
        noise: half the width of the 95 % interval of their difference.
    """

    users: int
    current: float
    candidate: float
    noise: float

    @property
    def loss(self) -> float:
        """What the candidate loses."""
        return self.current - self.candidate


def held_out(repository: Path, releases: Sequence[int], count: int) -> list[Query]:
    """Held-out events of each release in turn; the same ones each time.

    Of the release before, too: those of a release that was made of a damaged log are as damaged,
    and each release would find as few of them.

    Raises:
        LoadTestError: a release does not say.
    """
    found = [_held_out(repository / RECOMMEND.name / str(release)) for release in releases]
    mixed = chain.from_iterable(zip_longest(*found))
    return list(dict.fromkeys(query for query in mixed if query))[:count]


def _held_out(folder: Path) -> list[Query]:
    path = folder / _QUERIES
    if not path.is_file():
        path = folder / "holdout.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if path.name == _QUERIES:
            # What they did stands in the request: the user state knows the held-out event by now
            # where it was recorded.
            asked = [Request(_NOBODY, recent=tuple(events)) for events in about["recent"]]
        else:  # a release from before such files
            asked = [Request(user) for user in about["users"]]
        pairs = list(zip(asked, about.get("items") or (), strict=False))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise LoadTestError(f"{path} should hold held-out users ({e!r}); build again") from e
    order = np.random.default_rng(0).permutation(len(pairs))
    return [pairs[i] for i in order]


def probe(queries: Sequence[Query], ask: Ask, seconds: float) -> Iterator[Probe | None]:
    """Ask both releases with each query, one after the other.

    Args:
        seconds: after so long no further one is asked.

    Yields:
        None after each, and at the end what was found, unless there were fewer than two.
    """
    end, gains = time.monotonic() + seconds, list[list[float]]()
    for number, (request, item) in enumerate(queries):
        if time.monotonic() > end and len(gains) > 1:
            break
        time.sleep(PAUSE_SECONDS)
        answers = (_asked(ask, request, number, role) for role in (CURRENT, CANDIDATE))
        gains.append([gain(items, item) for items in answers])
        yield None
    if len(gains) > 1:
        lost = [current - candidate for current, candidate in gains]
        current, candidate = (fmean(values) for values in zip(*gains, strict=True))
        yield Probe(len(gains), current, candidate, 1.96 * stdev(lost) / len(lost) ** 0.5)


def asking(stack: ExitStack, addresses: Sequence[str]) -> Ask:
    """Clients of servers, over HTTP, for as long as ``stack`` is open."""
    clients = {
        (address, role): stack.enter_context(
            Client(address, "http", model=role_of(RECOMMEND.name, role))
        )
        for address in addresses
        for role in (CURRENT, CANDIDATE)
    }

    def ask(request: Request, number: int, role: str) -> tuple[str, ...]:
        client = clients[addresses[number % len(addresses)], role]
        # Without an id: nothing is explored or logged, and rankers are compared.
        return client.recommend(request, request_id="").items

    return ask


def _asked(ask: Ask, request: Request, number: int, role: str) -> tuple[str, ...]:
    try:
        return ask(request, number, role)
    except RequestError:
        return ()  # who gets no answer finds nothing
