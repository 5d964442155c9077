"""The same scenario at another rate, or in another time."""

from __future__ import annotations

from ensembles.errors import LoadTestError
from loadtest.scenario import Scenario


def mean_rate(scenario: Scenario) -> float:
    """Requests/s over all phases.

    Raises:
        LoadTestError: a phase has users and no rate.
    """
    if any(phase.users for phase in scenario.phases):
        raise LoadTestError(
            "a limit is searched by scaling rates, but a phase of the scenario has users (a closed "
            "loop); give its phases a rate"
        )
    return sum(sum(p.rates) / 2 * p.seconds for p in scenario.phases) / scenario.seconds


def scaled(scenario: Scenario, factor: float) -> Scenario:
    """The same with every rate times ``factor``."""
    phases = tuple(
        phase.model_copy(
            update={
                "rate": phase.rates[0] * factor,
                "rate_to": phase.rate_to and phase.rate_to * factor,
            }
        )
        for phase in scenario.phases
    )
    return scenario.model_copy(update={"phases": phases})


def lasting(scenario: Scenario, seconds: float, minimum_count: int) -> Scenario:
    """The same in ``seconds``, or longer, so that about ``minimum_count`` requests are made."""
    # A tenth more: arrivals are random.
    needed = max(seconds, 1.1 * minimum_count / mean_rate(scenario))
    share = needed / scenario.seconds
    phases = tuple(
        phase.model_copy(update={"seconds": phase.seconds * share}) for phase in scenario.phases
    )
    warm_up = min(scenario.warm_up_seconds, max(1.0, scenario.warm_up_seconds * share))
    return scenario.model_copy(update={"phases": phases, "warm_up_seconds": warm_up})
