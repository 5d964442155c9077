"""Quality under load: held-out users, asked of both releases while others are served."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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
Ask = Callable[[str, int, str], tuple[str, ...]]
"""Items for a user, by a role; the number says which of the servers is asked."""


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


def held_out(repository: Path, release: int, count: int) -> list[tuple[str, str]]:
    """Users of a release and the item that each was denied; the same ones each time.

    Raises:
        LoadTestError: the release does not say.
    """
    path = repository / RECOMMEND.name / str(release) / "holdout.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        pairs = list(zip(about["users"], about.get("items") or (), strict=False))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise LoadTestError(f"{path} should hold 'users' and 'items' ({e!r}); build again") from e
    order = np.random.default_rng(0).permutation(len(pairs))[:count]
    return [pairs[i] for i in order]


def probe(pairs: Sequence[tuple[str, str]], ask: Ask, seconds: float) -> Probe | None:
    """Ask both releases for each user, one after the other; None where nobody is held out.

    Args:
        seconds: after so long no further user is asked.
    """
    end, gains = time.monotonic() + seconds, list[list[float]]()
    for number, (user, item) in enumerate(pairs):
        if time.monotonic() > end and len(gains) > 1:
            break
        time.sleep(PAUSE_SECONDS)
        gains.append([gain(_asked(ask, user, number, role), item) for role in (CURRENT, CANDIDATE)])
    if len(gains) < 2:
        return None
    lost = [current - candidate for current, candidate in gains]
    current, candidate = (fmean(values) for values in zip(*gains, strict=True))
    return Probe(len(gains), current, candidate, 1.96 * stdev(lost) / len(lost) ** 0.5)


def asking(stack: ExitStack, addresses: Sequence[str]) -> Ask:
    """Clients of servers, over HTTP, for as long as ``stack`` is open."""
    clients = {
        (address, role): stack.enter_context(
            Client(address, "http", model=role_of(RECOMMEND.name, role))
        )
        for address in addresses
        for role in (CURRENT, CANDIDATE)
    }

    def ask(user: str, number: int, role: str) -> tuple[str, ...]:
        client = clients[addresses[number % len(addresses)], role]
        # Without an id: nothing is explored or logged, and rankers are compared.
        return client.recommend(Request(user), request_id="").items

    return ask


def _asked(ask: Ask, user: str, number: int, role: str) -> tuple[str, ...]:
    try:
        return ask(user, number, role)
    except RequestError:
        return ()  # who gets no answer finds nothing
