"""A scenario: who asks how often for what. Data, in ``scenarios/NAME.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from ensembles.errors import SettingsError, did_you_mean
from loadtest.arrivals import Arrivals
from loadtest.toml_settings import TomlSettings, shipped

Share = Annotated[float, Field(ge=0, le=1)]


class Phase(TomlSettings):
    """Seconds with a rate (open loop; ``rate_to`` at its end) or with users (closed loop)."""

    seconds: float = Field(gt=0, le=86_400)
    rate: float | None = Field(default=None, gt=0, le=100_000)
    rate_to: float | None = Field(default=None, gt=0, le=100_000)
    users: int | None = Field(default=None, ge=1, le=1000)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.rate is None) == (self.users is None) or (self.rate_to and self.users):
            raise ValueError("a phase has either a rate (and rate_to) or users")
        return self

    @property
    def rates(self) -> tuple[float, float]:
        """At the beginning and at the end, requests/s; open loop only."""
        rate = self.rate or 0.0
        return rate, self.rate_to or rate


class Scenario(TomlSettings):
    """Phases one after the other, and what the requests of all of them are like.

    Attributes:
        arrivals: of the open phases.
        warm_up_seconds: at the start of the first phase's load, in no figure.
        warm_up_users: so many ask before that, for as long, each again once answered: then the
            largest batches and queues have been there when memory is watched.
        grpc: share of requests over gRPC; the others go over HTTP.
        pictures: share of requests with a picture, where the release takes them.
        skew: Zipf exponent of how often a user comes; 0 is uniform.
        returning: share of sessions of known users; the others are of new ones (a cold start).
        session: requests in a session, in the mean.
        recent: whether a request tells what the session touched before; it grows with it.
        hot_items: size of the flash sale, or of what is trending; 0 for none.
        hot_share: share of touches that go to them.
    """

    about: str
    phases: tuple[Phase, ...] = Field(min_length=1, max_length=100)
    arrivals: Arrivals = Arrivals.POISSON
    warm_up_seconds: float = Field(default=2.0, ge=0, le=600)
    warm_up_users: int = Field(default=0, ge=0, le=1000)
    grpc: Share = 1.0
    pictures: Share = 0.0
    skew: float = Field(default=0.0, ge=0, le=3)
    returning: Share = 1.0
    session: float = Field(default=1.0, ge=1, le=1000)
    recent: bool = False
    hot_items: int = Field(default=0, ge=0)
    hot_share: Share = 0.0

    @property
    def seconds(self) -> float:
        """Of load, warm-up left out."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def warm_up(self) -> tuple[Phase, ...]:
        """What comes first: the users, then the calm beginning of the first phase."""
        if not self.warm_up_seconds:
            return ()
        calm = {"seconds": self.warm_up_seconds, "rate_to": None}
        last = self.phases[0].model_copy(update=calm)
        if not self.warm_up_users:
            return (last,)
        return Phase(seconds=self.warm_up_seconds, users=self.warm_up_users), last

    @property
    def loop(self) -> str:
        """How it asks: an open or a closed loop, or both."""
        kinds = {"closed" if phase.users else "open" for phase in self.phases}
        return " and ".join(sorted(kinds, reverse=True))


def find_scenario(name: str) -> Scenario:
    """One of ours by name, or a file.

    Raises:
        SettingsError: there is neither, or the file does not hold a scenario.
    """
    ours = shipped("scenarios")
    if name not in ours and not Path(name).is_file():
        raise SettingsError(
            f"expected one of the scenarios {list(ours)} or a TOML file; got {name!r}."
            f"{did_you_mean(name, ours)}"
        )
    return Scenario.read(ours.get(name, Path(name)))
