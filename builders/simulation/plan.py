"""What a simulation is to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ensembles.errors import SettingsError

K = 10
"""Items of each answer."""
DAY = 86_400
"""Seconds of simulated time that a round takes."""
_MOST_REQUESTS = 100
OFF, ON, FROZEN = "off", "on", "frozen"
"""Arms: with retraining, with exploration, too, and with the first release for ever."""
TITLES = {OFF: "exploration off", ON: "exploration on", FROZEN: "never retrained"}


@dataclass(frozen=True)
class Plan:
    """Everything but the settings of the release.

    Attributes:
        rounds: each serves all users, and but for the last retrains.
        users: simulated in each round, the same ones.
        seed: of the users and of everything that they do.
        known: share of the events that the first release learns from.
        cut: ``users`` cuts the events of each user at that share, ``time`` the whole log.
        position_bias: the item at position p is looked at with chance ``1 / p**position_bias``.
        noise: chance that a user acts otherwise than by taste.
        requests: of a user in a round.
        explore: share of the slots that the second arm explores with; 0: there is no such arm.
        event: type of the event of a click.
        frozen: whether a third arm serves the first release in every round, without exploration.
    """

    rounds: int = 5
    users: int = 500
    seed: int = 1
    known: float = 0.5
    cut: Literal["users", "time"] = "users"
    position_bias: float = 1.0
    noise: float = 0.02
    requests: int = 3
    explore: float = 0.1
    event: str = "click"
    frozen: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            SettingsError: a value is out of its range.
        """
        fine = {
            "--rounds is 1 or more": self.rounds >= 1,
            "--users is 2 or more": self.users >= 2,
            "--seed is 0 or more": self.seed >= 0,
            "--known is above 0 and below 1": 0 < self.known < 1,
            "--position-bias is 0 or more": 0 <= self.position_bias < float("inf"),
            "--noise is 0 to 0.5": 0 <= self.noise <= 0.5,
            f"--requests-per-user is 1 to {_MOST_REQUESTS}": 1 <= self.requests <= _MOST_REQUESTS,
            "--explore is 0 to 0.5": 0 <= self.explore <= 0.5,
        }
        if wrong := [rule for rule, held in fine.items() if not held]:
            raise SettingsError(f"{'; '.join(wrong)}; got {self}")

    @property
    def arms(self) -> dict[str, float]:
        """Share of the slots that explore, by the name of the arm."""
        exploring = {ON: self.explore} if self.explore else {}
        return {OFF: 0.0, **exploring, **({FROZEN: 0.0} if self.frozen else {})}
