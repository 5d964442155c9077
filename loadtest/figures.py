"""What load processes record in fine resolution, joined and sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np


@dataclass(frozen=True)
class Figures:
    """What was recorded in one window.

    Attributes:
        seconds: length of the window.
        generator_share: processor time of the load process, as a share of one core; that of the
            busiest of several.
        latencies_ms: of answered requests and probes, by name.
        errors: how often each error came.
    """

    seconds: float
    generator_share: float
    latencies_ms: dict[str, list[float]]
    errors: dict[str, int]

    def pack(self) -> dict[str, Any]:
        """For a message between processes; latencies as float64, little endian."""
        packed = {k: np.array(v, "<f8").tobytes() for k, v in self.latencies_ms.items()}
        return {**asdict(self), "latencies_ms": packed}

    @classmethod
    def unpack(cls, message: dict[str, Any]) -> Self:
        """The reverse of ``pack``."""
        packed = message["latencies_ms"].items()
        latencies = {k: np.frombuffer(v, "<f8").tolist() for k, v in packed}
        return cls(**{**message, "latencies_ms": latencies})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of several processes that loaded a server at the same time."""
        latencies: defaultdict[str, list[float]] = defaultdict(list)
        errors: Counter[str] = Counter()
        for part in parts:
            errors.update(part.errors)
            for name, ms in part.latencies_ms.items():
                latencies[name] += ms
        return cls(
            seconds=sum(part.seconds for part in parts) / len(parts),
            generator_share=max(part.generator_share for part in parts),
            latencies_ms=dict(latencies),
            errors=dict(errors.most_common()),
        )
