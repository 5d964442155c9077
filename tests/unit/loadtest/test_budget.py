from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import LoadTestError
from loadtest.budget import (
    PART_OF_STEP,
    Budget,
    Part,
    reference_share,
)
from loadtest.step_statistics import ChainTimes, StepTimes

MS = st.floats(0, 1000)


def step(name: str, infer_ms: float, queue_ms: float = 0.0) -> StepTimes:
    return StepTimes(name, 10, queue_ms + infer_ms, queue_ms, 0.0, infer_ms, 0.0)


STEPS = st.lists(
    st.builds(step, st.sampled_from(sorted(PART_OF_STEP)), MS, MS), min_size=1, max_size=6
)
BUDGETS = st.builds(
    lambda client, trip, total, steps: Budget(
        client, trip, ChainTimes(step("recommend", total), tuple(steps))
    ),
    st.floats(0.01, 1000),
    MS,
    MS,
    STEPS,
)

# The reference case, taken apart: U = 2 on the way, 2 between the steps, 1 in policy.
REFERENCE = Budget(
    115.0,
    2.0,
    ChainTimes(
        step("recommend", 113.0), (step("features", 10.0), step("ranker", 100.0), step("policy", 1))
    ),
)


def test_the_reference_case() -> None:
    assert [REFERENCE.part_ms(part) for part in Part] == [5.0, 10.0, 100.0]
    assert REFERENCE.unexplained_ms == 0.0
    assert REFERENCE.waiting_ms == 2.0
    for part in Part:
        assert REFERENCE.share(part) == reference_share(part)
    assert [REFERENCE.halved_ms(part) for part in Part] == [112.5, 110.0, 65.0]
    assert REFERENCE.line() == (
        "P = f(U, X, M): 115.00 ms = U 5.00 (4%) + X 10.00 (9%) + M 100.00 (87%) "
        "+ unexplained +0.00 (closure error 0.0%)"
    )


@given(BUDGETS)
def test_parts_and_the_unexplained_add_up_to_what_the_client_saw(budget: Budget) -> None:
    total = sum(budget.part_ms(part) for part in Part) + budget.unexplained_ms
    assert total == pytest.approx(budget.client_ms, abs=1e-6)
    shares = sum(budget.share(part) for part in Part)
    unexplained_share = budget.unexplained_ms / budget.client_ms
    assert shares + unexplained_share == pytest.approx(1.0, rel=1e-6)
    assert budget.closure_error == abs(unexplained_share)


@given(BUDGETS, st.floats(0, 100))
def test_time_that_only_the_client_saw_is_unexplained(budget: Budget, more: float) -> None:
    slower = replace(budget, client_ms=budget.client_ms + more)
    assert [slower.part_ms(part) for part in Part] == [budget.part_ms(part) for part in Part]
    assert slower.unexplained_ms == pytest.approx(budget.unexplained_ms + more, abs=1e-6)


@given(BUDGETS, st.sampled_from(list(Part)))
def test_halving_a_part_gives_half_of_it(budget: Budget, part: Part) -> None:
    gained = budget.client_ms - budget.halved_ms(part)
    assert gained == pytest.approx(budget.part_ms(part) / 2, abs=1e-6)


@given(BUDGETS, st.floats(0.1, 100))
def test_a_slower_ranker_is_attributed_to_m_alone(budget: Budget, more: float) -> None:
    slow = ChainTimes(
        step("recommend", budget.chain.ensemble.total_ms + more),
        (*budget.chain.steps, step("ranker", more)),
    )
    slower = Budget(budget.client_ms + more, budget.round_trip_ms, slow)
    changes = {part: slower.part_ms(part) - budget.part_ms(part) for part in Part}
    assert changes == pytest.approx({Part.U: 0.0, Part.X: 0.0, Part.M: more}, abs=1e-6)
    assert slower.unexplained_ms == pytest.approx(budget.unexplained_ms, abs=1e-6)


def test_queues_belong_to_request_handling() -> None:
    chain = ChainTimes(step("recommend", 9.0), (step("ranker", 4.0, queue_ms=5.0),))
    budget = Budget(10.0, 1.0, chain)
    assert [budget.part_ms(part) for part in Part] == [6.0, 0.0, 4.0]


def test_parts_that_explain_too_much_are_an_error_too() -> None:
    budget = replace(REFERENCE, client_ms=100.0)
    assert budget.unexplained_ms == -15.0
    assert budget.closure_error == 0.15


@pytest.mark.parametrize("client_ms", [0.0, -1.0, float("nan"), float("inf")])
def test_client_time_must_be_a_time(client_ms: float) -> None:
    with pytest.raises(LoadTestError, match="client's mean"):
        replace(REFERENCE, client_ms=client_ms)


@pytest.mark.parametrize("round_trip_ms", [-1.0, float("nan")])
def test_round_trip_must_be_a_time(round_trip_ms: float) -> None:
    with pytest.raises(LoadTestError, match="round trip"):
        replace(REFERENCE, round_trip_ms=round_trip_ms)


def test_a_step_of_no_part_is_refused() -> None:
    chain = ChainTimes(step("recommend", 1.0), (step("rankr", 1.0),))
    with pytest.raises(LoadTestError, match="Did you mean 'ranker'"):
        Budget(1.0, 0.0, chain)
