"""What the servers counted in a window, by release."""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, Self

from ensembles.errors import LoadTestError

_LINE = re.compile(r"^millirank_(\w+)\{([^}]*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_STEP = "step_seconds_"
_COUNTED = {
    "routed_failures_total": "failures",
    "mirrored_same_total": "same",
    "mirrored_other_total": "other",
    "mirrored_dropped_total": "dropped",
    "rows_total": "rows",
    "degraded_total": "degraded",
}
Snapshot = Counter[tuple[int, str]]
"""Amounts by release and name; a bucket's name is its upper bound in seconds."""


def read_snapshot(addresses: Sequence[str]) -> Snapshot:
    """Of all servers together.

    Args:
        addresses: ``host:port`` of their metrics.

    Raises:
        LoadTestError: one does not answer.
    """
    found: Snapshot = Counter()
    for address in addresses:
        url = f"http://{address}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                found.update(dict(parse(answer.read().decode())))
        except (OSError, ValueError) as e:
            raise LoadTestError(f"expected the metrics of a server of ours at {url}: {e}") from e
    return found


def parse(text: str) -> Iterator[tuple[tuple[int, str], float]]:
    """What is ours in Prometheus' text format.

    Raises:
        ValueError: a release or an amount is no number.
    """
    for name, labels, amount in _LINE.findall(text):
        of = dict(_LABEL.findall(labels))
        if name in _COUNTED:
            yield (int(of["release"]), _COUNTED[name]), float(amount)
        elif name.startswith(_STEP) and of["step"] == "routed":
            kind = name.removeprefix(_STEP)
            yield (int(of["release"]), of["le"] if kind == "bucket" else kind), float(amount)


@dataclass(frozen=True)
class Window:
    """One release's part in a window.

    Attributes:
        requests: that it was asked, mirrored ones included.
        failures: of the candidate, where the current release had an answer.
        seconds: that they took in all, on the server's clock, from the router on.
        below: by upper bound in seconds, how many took at most so long; the last is endless.
        same, other, dropped: mirrored requests that it answered with the very same items, with
            others, and that it was too slow to be asked.
        rows, degraded: answered in all, and without the user state.
    """

    requests: int = 0
    failures: int = 0
    seconds: float = 0.0
    below: tuple[tuple[float, int], ...] = ()
    same: int = 0
    other: int = 0
    dropped: int = 0
    rows: int = 0
    degraded: int = 0

    @classmethod
    def between(cls, before: Snapshot, after: Snapshot, release: int) -> Self:
        """What came in between two snapshots.

        Raises:
            LoadTestError: a server started anew in between.
        """
        names = {name for r, name in {*before, *after} if r == release}
        own = {name: after[release, name] - before[release, name] for name in names}
        if any(amount < 0 for amount in own.values()):
            raise LoadTestError(
                "a server was started anew in the window, so nothing is known of it"
            )
        counted = {name: round(own.pop(name, 0)) for name in ("count", *_COUNTED.values())}
        seconds = own.pop("sum", 0.0)
        bounds = sorted((inf if le == "+Inf" else float(le), round(n)) for le, n in own.items())
        return cls(counted.pop("count"), seconds=seconds, below=tuple(bounds), **counted)

    def slower(self, ms: float) -> float:
        """How many took longer; inside of a bucket they are taken to lie evenly."""
        return self.requests - _at(((0.0, 0), *self.below), ms / 1000)

    @property
    def mean_ms(self) -> float:
        """Of all."""
        return self.seconds / max(self.requests, 1) * 1000

    @property
    def p99_ms(self) -> float:
        """As Prometheus' ``histogram_quantile`` has it; endless beyond the last bucket."""
        wanted = 0.99 * self.requests
        for (low, least), (high, most) in pairwise(((0.0, 0), *self.below)):
            if most >= wanted and most > least:
                return (low + (high - low) * (wanted - least) / (most - least)) * 1000
        return 0.0

    def figures(self) -> Mapping[str, Any]:
        """For the journal."""
        p99 = self.p99_ms
        return {
            "requests": self.requests,
            "failures": self.failures,
            "mean_ms": round(self.mean_ms, 3),
            "p99_ms": None if p99 == inf else round(p99, 3),
            "mirrored": {"same": self.same, "other": self.other, "dropped": self.dropped},
            "rows": self.rows,
            "degraded": self.degraded,
        }


def _at(bounds: Sequence[tuple[float, int]], seconds: float) -> float:
    """How many took at most so long."""
    for (low, least), (high, most) in pairwise(bounds):
        if seconds < high:
            share = 0.0 if high == inf else (seconds - low) / (high - low)
            return least + share * (most - least)
    return bounds[-1][1]
