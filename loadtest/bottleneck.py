"""Whether the load process, and not the server, set the figures: one sentence for every load."""

from __future__ import annotations

GENERATOR_LIMIT = 0.9
"""A load process that is busy for more of a core than this may be what limits the figures."""
LATE_MS = 10.0
"""A schedule is kept when 99 % of the requests leave no later than this after their moment."""


def bottleneck(generator_share: float, late_p99_ms: float = 0.0) -> str:
    """Why the load process may have set the figures; empty if it did not.

    Args:
        generator_share: processor time of the load process, as a share of one core.
        late_p99_ms: how long after its moment a request left, 99th percentile; open loop only.
    """
    if generator_share > GENERATOR_LIMIT:
        return f"the load process was busy for {generator_share:.0%} of a core"
    if late_p99_ms > LATE_MS:
        return (
            f"the load process did not keep its schedule: 1 % of the requests left more than "
            f"{late_p99_ms:.0f} ms late"
        )
    return ""


def ceiling(requests_per_second: float, generator_share: float) -> float:
    """Requests per second that the load process could make with a core to itself: 1 / CPU."""
    return requests_per_second / max(generator_share, 1e-9)
