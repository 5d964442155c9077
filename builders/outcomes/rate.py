"""Rates and differences of rates, with 95 % intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

_Z = 1.959963984540054
"""Of the normal distribution, for 95 %."""


@dataclass(frozen=True)
class Rate:
    """``count`` of ``total``.

    Attributes:
        value: share in 0..1; 0 where ``total`` is.
        low, high: score interval (Wilson, "Probable inference, the law of succession, and
            statistical inference", JASA 22, 1927). It takes the ``total`` for independent draws:
            items of one answer are not quite.
    """

    count: int
    total: int
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> Rate:
        """Nothing is known of a rate of nothing: 0 to 1."""
        if not total:
            return cls(0, 0, 0.0, 0.0, 1.0)
        share, square = count / total, _Z**2 / total
        middle = (share + square / 2) / (1 + square)
        half = _Z / (1 + square) * math.sqrt(share * (1 - share) / total + square / total / 4)
        low = max(middle - half, 0.0) if count else 0.0
        high = min(middle + half, 1.0) if count < total else 1.0
        return cls(count, total, share, low, high)


@dataclass(frozen=True)
class Difference:
    """One rate minus another.

    Attributes:
        low, high: hybrid score interval (method 10 of Newcombe, "Interval estimation for the
            difference between independent proportions", Statistics in Medicine 17, 1998).
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, new: Rate, old: Rate) -> Difference:
        """``new`` minus ``old``, of different users."""
        value = new.value - old.value
        below = math.hypot(new.value - new.low, old.high - old.value)
        above = math.hypot(new.high - new.value, old.value - old.low)
        return cls(value, value - below, value + above)

    @property
    def told(self) -> bool:
        """Whether 0 lies outside."""
        return self.low > 0 or self.high < 0
