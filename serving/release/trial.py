"""What a running server does with its releases, read from the server itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from ensembles.errors import ReleaseError
from ensembles.recommend import RECOMMEND
from serving.release.control import Control

CANDIDATE, CURRENT = "candidate", "current"


def role_of(ensemble: str, role: str) -> str:
    """The name by which a release's ensemble is loaded beside the public one."""
    return f"{ensemble}_{role}"


@dataclass(frozen=True)
class Trial:
    """Releases in a server.

    Attributes:
        current: that answers.
        candidate: that is loaded beside it; None where none is.
        canary: share of the users whom the candidate answers.
        mirror: share of the users whose requests the candidate gets, too, with nothing returned.
    """

    current: int
    candidate: int | None = None
    canary: float = 0.0
    mirror: float = 0.0

    @classmethod
    def of(cls, control: Control) -> Self:
        """As the server says.

        Raises:
            ReleaseError: it serves no release of ours.
            ServerUnavailable: nobody answers.
        """
        public = control.config(RECOMMEND.name)
        staged = control.config(role_of(RECOMMEND.name, CANDIDATE))
        if public is None:
            raise ReleaseError(
                f"{control.address} serves no {RECOMMEND.name!r}; is it one of our servers?"
            )
        candidate = _pinned(staged) if staged else None
        if public.get("platform") == "ensemble":
            return cls(_pinned(public), candidate)
        route = {name: p["string_value"] for name, p in public["parameters"].items()}
        shares = float(route["canary"]), float(route["mirror"])
        return cls(int(route["current"]), int(route["candidate"]), *shares)


def _pinned(ensemble: dict[str, Any]) -> int:
    return int(ensemble["ensemble_scheduling"]["step"][0]["model_version"])
