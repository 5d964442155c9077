"""Which release answers whom while a release is tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Route:
    """Shares of the users, by a hash of the user id: the same users all along a trial.

    Attributes:
        ensemble: public name of what is routed.
        current: release that answers.
        candidate: release that is tried.
        canary: share of the users whom the candidate answers.
        mirror: share of the users whose requests it is asked too, with nothing returned of it.
    """

    ensemble: str
    current: int
    candidate: int
    canary: float
    mirror: float

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> Route:
        """From the parameters of the model's configuration.

        Raises:
            ValueError: one is missing or no number.
        """
        try:
            return cls(
                parameters["ensemble"],
                int(parameters["current"]),
                int(parameters["candidate"]),
                float(parameters["canary"]),
                float(parameters["mirror"]),
            )
        except KeyError as e:
            raise ValueError(
                f"expected the parameter {e} of a route, got {dict(parameters)}"
            ) from e

    def releases(self, tensors: Mapping[str, NDArray[Any]]) -> NDArray[np.int32]:
        """Who answers each row, int32 [B], by its user id [B, 1].

        A request without user ids is for the current release to refuse.
        """
        if "user_id" not in tensors:
            rows = max((len(tensor) for tensor in tensors.values()), default=1)
            return np.full(rows, self.current, np.int32)
        users = tensors["user_id"][:, 0]
        tried = [self._draw(user, b"canary") < self.canary for user in users]
        return np.where(tried, self.candidate, self.current).astype(np.int32)

    def mirrored(self, tensors: Mapping[str, NDArray[Any]]) -> bool:
        """Whether a request is sent to the candidate, too: by its first user."""
        if not self.mirror or "user_id" not in tensors:
            return False
        return self._draw(tensors["user_id"][0, 0], b"mirror") < self.mirror

    def model(self, release: int) -> str:
        """The ensemble that answers as ``release``."""
        role = "candidate" if release == self.candidate else "current"
        return f"{self.ensemble}_{role}"

    def _draw(self, user: bytes, purpose: bytes) -> float:
        """From 0 to below 1; other users for each candidate."""
        key = str(self.candidate).encode()
        digest = blake2b(user, digest_size=8, key=key, person=purpose).digest()
        return int.from_bytes(digest, "big") / 2**64
