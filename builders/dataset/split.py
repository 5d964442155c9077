"""Which events train, which validate and which test: positions in a log sorted by user and time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from builders.dataset.settings import Split
from ensembles.errors import DataError

Positions = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Fields of ``Dataset``: each int64 [U]; -1 where a user has no such target."""

    train_end: Positions
    validation: Positions
    test: Positions


def split_events(settings: Split, offsets: Positions, timestamp: Positions) -> Parts:
    """Split as configured.

    Args:
        offsets: int64 [U+1], events of user u are ``offsets[u]:offsets[u+1]``, oldest first.
        timestamp: int64 [E].

    Raises:
        DataError: a part would be empty.
    """
    if settings.kind == "leave_one_out":
        parts = leave_one_out(offsets)
    else:
        parts = global_time(offsets, timestamp, settings.validation_share, settings.test_share)
    sizes = {
        "training": int((parts.train_end - offsets[:-1]).sum()),
        "validation": int((parts.validation >= 0).sum()),
        "test": int((parts.test >= 0).sum()),
    }
    empty = [name for name, size in sizes.items() if not size]
    if empty:
        raise DataError(
            f"the {settings.kind} split of {len(timestamp):,} events of {len(offsets) - 1:,} users "
            f"leaves nothing for {', '.join(empty)}; leave_one_out needs users with 3 events, "
            "global_time needs times that differ"
        )
    return parts


def leave_one_out(offsets: Positions) -> Parts:
    """The last event of a user is its test target, the one before its validation target.

    A user with fewer than 3 events only trains: nothing would be left to learn from.
    """
    end = offsets[1:]
    held = np.diff(offsets) >= 3
    return Parts(
        train_end=np.where(held, end - 2, end),
        validation=np.where(held, end - 2, -1),
        test=np.where(held, end - 1, -1),
    )


def global_time(
    offsets: Positions, timestamp: Positions, validation_share: float, test_share: float
) -> Parts:
    """Two moments cut the whole log: nobody's future is in anybody's training.

    Training is what happened before the first moment. The validation target of a user is its
    first event between the two, its test target the first event from the second moment on;
    what the user did before a target, validation events included, is the target's history.
    The shares are shares of events; events at one instant stay together, in the later part.
    """
    ordered = np.sort(timestamp)
    cut = [int(len(ordered) * (1 - share)) for share in (validation_share + test_share, test_share)]
    t_validation, t_test = ordered[cut]
    first_validation = offsets[:-1] + _per_user(timestamp < t_validation, offsets)
    first_test = offsets[:-1] + _per_user(timestamp < t_test, offsets)
    return Parts(
        train_end=first_validation,
        validation=np.where(first_validation < first_test, first_validation, -1),
        test=np.where(first_test < offsets[1:], first_test, -1),
    )


def _per_user(chosen: NDArray[np.bool_], offsets: Positions) -> Positions:
    total = np.concatenate([[0], np.cumsum(chosen, dtype=np.int64)])
    count: Positions = total[offsets[1:]] - total[offsets[:-1]]
    return count
