"""Search for the highest rate at which a scenario still meets an objective."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

from loadtest.capacity import Capacity, Step, at_any_rate, judged
from loadtest.knee import knee
from loadtest.objective import Objective
from loadtest.rates import lasting, mean_rate, scaled
from loadtest.record import RunRecord
from loadtest.scenario import Scenario

SECONDS = 8.0
"""Length of a step, where its rate gives the answers that a p99 needs; else longer."""
RESOLUTION = 1.05
"""The search ends when the lowest rate that misses is at most so many times the limit."""
LOWEST, HIGHEST = 1 / 16, 256.0
"""Rates that are tried, as multiples of the scenario's own."""
CONFIRMATIONS = 5
"""Rates that are played in full, each a tenth lower than the one before, until one holds."""


Play = Callable[[Scenario], RunRecord]


class Search:
    """Doubles the rate until the objective is missed, then halves the gap, geometrically.

    A rate that misses is played once more: one hiccup of the machine is no limit. Where the load
    process was in the way, the rate counts as missed, but a limit that it sets is a lower bound.

    Args:
        play: plays a scenario and returns its run.
        report: is handed every step as it comes.

    Raises:
        LoadTestError: the scenario has phases without a rate, or the objective limits nothing.
    """

    def __init__(
        self,
        name: str,
        scenario: Scenario,
        objective: Objective,
        play: Play,
        report: Callable[[Step], None],
    ) -> None:
        self.name, self.scenario, self.play, self.report = name, scenario, play, report
        at_any_rate(objective)  # fails here, and not after the first step
        self.objective = objective
        self.own_rate = mean_rate(scenario)
        self.steps: list[Step] = []
        self.missed: tuple[float, str] | None = None
        """The lowest factor that missed, and why the load process may have been in the way."""

    def run(self) -> Capacity:
        """Search, confirm, and sum up."""
        met = self._bracket()
        while met and self.missed and self.missed[0] / met > RESOLUTION:
            factor = sqrt(met * self.missed[0])
            met = factor if self._holds(factor) else met
        limit = self._confirm(met) if met else None
        answered = [s for s in self.steps if s.p95_ms > 0]
        return Capacity(
            scenario=self.name,
            limit=limit and limit * self.own_rate,
            at_least=self.missed[1] if self.missed else "nothing higher was tried",
            knee=knee([s.offered for s in answered], [s.p95_ms for s in answered]),
            steps=tuple(self.steps),
        )

    def _bracket(self) -> float:
        """A factor that was met, at most twice as low as one that was not; 0 for none."""
        factor = 1.0
        if self._holds(factor):
            while factor < HIGHEST and self._holds(2 * factor):
                factor *= 2
            return factor
        while factor > LOWEST:
            factor /= 2
            if self._holds(factor):
                return factor
        return 0.0

    def _holds(self, factor: float) -> bool:
        for _ in range(2):
            step = self._step(factor, full=False)
            if step.met:
                return True
        self.missed = factor, step.bottleneck
        return False

    def _confirm(self, factor: float) -> float | None:
        for _ in range(CONFIRMATIONS):
            step = self._step(factor, full=True)
            if step.met:
                return factor
            self.missed = factor, step.bottleneck
            factor *= 0.9
        return None

    def _step(self, factor: float, *, full: bool) -> Step:
        """Play one rate; the growth of memory is judged in full length only."""
        seconds, wanted = SECONDS, at_any_rate(self.objective)
        if full:
            growth = {"memory_growth": self.objective.memory_growth}
            seconds, wanted = self.scenario.seconds, wanted.model_copy(update=growth)
        scenario = scaled(self.scenario, factor)
        run = self.play(lasting(scenario, seconds, wanted.minimum_count))
        step = judged(wanted, run, factor * self.own_rate, full=full)
        self.steps.append(step)
        self.report(step)
        return step
