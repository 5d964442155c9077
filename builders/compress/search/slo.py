"""Objectives and shares as a person types them: ``p99=10ms``, ``1%``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from ensembles.errors import SettingsError

_NUMBER = r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?)"
_OBJECTIVE = re.compile(rf"p{_NUMBER}\s*=\s*{_NUMBER}\s*(us|ms|s)")
_SHARE = re.compile(rf"{_NUMBER}\s*(%?)")
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Objective:
    """A percentile of the latency, and what it may be at most.

    Raises:
        SettingsError: a percentile that is none, or a limit that nothing can meet.
    """

    percentile: float
    milliseconds: float

    def __post_init__(self) -> None:
        if not 0 < self.percentile < 100:
            raise SettingsError(
                f"expected a percentile between 0 and 100, as in p99=10ms; got p{self.percentile:g}"
            )
        if not self.milliseconds > 0:
            raise SettingsError(
                f"expected a limit above 0, as in p99=10ms; got {self.milliseconds:g} ms"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``p99=10ms``, ``p50=800us`` or ``p99=0.01s``.

        Raises:
            SettingsError: it is written in another way.
        """
        found = _OBJECTIVE.fullmatch(text.strip().lower())
        if found is None:
            raise SettingsError(
                f"expected an objective as p99=10ms, p50=800us or p99=0.01s; got {text!r}"
            )
        percentile, limit, unit = found.groups()
        return cls(float(percentile), float(limit) * _MILLISECONDS[unit])

    @property
    def name(self) -> str:
        """The percentile alone: ``p99``."""
        return f"p{_shortest(self.percentile)}"

    def __str__(self) -> str:
        """As ``parse`` reads it."""
        return f"{self.name}={_shortest(self.milliseconds)}ms"


@dataclass(frozen=True)
class Wish:
    """What a search looks for.

    Attributes:
        objective: of the ranker alone, at batch 1.
        max_quality_loss: share of the uncompressed ranker's validation NDCG@10.
    """

    objective: Objective
    max_quality_loss: float

    @classmethod
    def parse(cls, objective: str, max_quality_loss: str) -> Self:
        """Read both.

        Raises:
            SettingsError: one is written in another way.
        """
        return cls(Objective.parse(objective), parse_share(max_quality_loss))


@dataclass(frozen=True)
class Limits:
    """When a search ends.

    Attributes:
        minutes: after which no trial starts; the one under way ends.
        trials: in the whole study, those of earlier runs included; None: no limit.
    """

    minutes: float = 60.0
    trials: int | None = None


def parse_share(text: str) -> float:
    """Read ``1%`` or ``0.01``: a share of at least 0 and below 1.

    Raises:
        SettingsError: it is written in another way, or too much.
    """
    found = _SHARE.fullmatch(text.strip().lower())
    if found is None:
        raise SettingsError(f"expected a share as 1% or 0.01; got {text!r}")
    number, percent = found.groups()
    share = float(number) / (100 if percent else 1)
    if share >= 1:
        raise SettingsError(
            f"expected a share below 100%, as 1% or 0.01; got {text!r}"
            + ("" if percent else f" (for {number} percent write {number}%)")
        )
    return share


def _shortest(number: float) -> str:
    return repr(float(number)).removesuffix(".0")
