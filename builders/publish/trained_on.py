"""What a release was trained on, for its manifest and out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from builders.dataset.dataset import Dataset
from ensembles.errors import ReleaseError

NAME = "trained_on"


@dataclass(frozen=True)
class TrainedOn:
    """The log of a build; the hashes of its files stand under ``data`` in the manifest.

    Attributes:
        newest: the last second whose events the build may have seen, validation and test
            included (a position, where the log has no times).
        events: that were left of log and recorded events after cleaning.
        recorded: recorded events that joined the log, before cleaning.
        exported: recorded events that were there, those that were held out included.
    """

    newest: int
    events: int
    recorded: int = 0
    exported: int = 0

    @classmethod
    def of(cls, dataset: Dataset, recorded: int = 0) -> TrainedOn:
        """Of a build of ``dataset``, in which ``recorded`` events joined the log."""
        return cls(int(dataset.timestamp.max()), len(dataset.item), recorded, recorded)

    def to_json(self) -> dict[str, int]:
        """Plain data, for the manifest."""
        return asdict(self)

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> TrainedOn:
        """Out of a manifest.

        Raises:
            ReleaseError: it does not say.
        """
        try:
            return cls(**manifest[NAME])
        except (KeyError, TypeError) as e:
            raise ReleaseError(
                f"the manifest of release {manifest.get('release')} does not say what it was "
                "trained on; publish it again with 'millirank build'"
            ) from e
