"""What came of a simulation: every figure of every round, and the arms against each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from builders.simulation.arm import Arm
from builders.simulation.measures import MEASURES, Estimate, Figure
from builders.simulation.plan import OFF, Plan


@dataclass(frozen=True)
class Round:
    """One round of one arm.

    Attributes:
        release: that served.
        retrained: how the retraining after it compared; None where there was none.
        figures: by name, as in ``MEASURES``.
        difference: against the arm that retrains and does not explore, paired by user; empty for
            that arm.
    """

    release: int
    retrained: Mapping[str, Any] | None
    figures: Mapping[str, Estimate]
    difference: Mapping[str, Estimate]

    @property
    def outcome(self) -> str:
        """Of the retraining, in a word or two."""
        if self.retrained is None:
            return "-"
        number = self.retrained["published"]
        return f"release {number}" if number else "kept"


@dataclass(frozen=True)
class Result:
    """Of the whole simulation.

    Attributes:
        name: of the settings.
        users: that were simulated.
        items: that a release may show.
        rounds: of each arm, by its name.
    """

    name: str
    plan: Plan
    users: int
    items: int
    rounds: Mapping[str, list[Round]]

    @classmethod
    def of(cls, name: str, plan: Plan, arms: Mapping[str, Arm]) -> Result:
        """Out of what finished arms left."""
        world = next(iter(arms.values())).world
        found: dict[str, list[Round]] = {name: [] for name in arms}
        for number in range(plan.rounds):
            base: dict[str, Figure] = {}
            for arm_name, arm in arms.items():
                seen = arm.seen(number)
                figures = {key: of(seen, world.popular) for key, (_, of) in MEASURES.items()}
                base = base or figures
                paired = {} if arm_name == OFF else figures
                found[arm_name].append(
                    Round(
                        int(seen.release),
                        arm.retrained(number),
                        {key: figure.estimate() for key, figure in figures.items()},
                        {key: (figure - base[key]).estimate() for key, figure in paired.items()},
                    )
                )
        return cls(name, plan, len(world.likes), len(world.item_ids), found)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
