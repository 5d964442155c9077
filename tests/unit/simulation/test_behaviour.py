"""What users look at and click."""

from __future__ import annotations

import numpy as np
import pytest

from builders.simulation.behaviour import clicks, draws, moments
from builders.simulation.plan import DAY, K, Plan

LIST = [f"i{n}" for n in range(K)]
USERS = 4000


def rates(plan: Plan, likes: set[str]) -> np.ndarray:
    """Share of users that click at each position."""
    clicked = [clicks(LIST, likes, draws(plan, 0, user, 0), plan) for user in range(USERS)]
    return np.array([sum(item in mine for mine in clicked) for item in LIST]) / USERS


@pytest.mark.parametrize("bias", [0.5, 1.0, 2.0])
def test_the_lower_an_item_stands_the_fewer_look_at_it(bias: float) -> None:
    expected = np.arange(1, K + 1) ** -bias
    bound = 5 * np.sqrt(expected * (1 - expected) / USERS)  # five deviations of a binomial share
    found = rates(Plan(position_bias=bias, noise=0.0), set(LIST))
    assert np.all(np.abs(found - expected) <= bound)


def test_without_bias_and_noise_exactly_what_is_liked_is_clicked() -> None:
    plan = Plan(position_bias=0.0, noise=0.0)
    likes = {"i1", "i7", "elsewhere"}
    for user in range(200):
        assert clicks(LIST, likes, draws(plan, 0, user, 0), plan) == ["i1", "i7"]


def test_noise_is_the_chance_to_act_otherwise() -> None:
    found = rates(Plan(position_bias=0.0, noise=0.25), {"i0"})
    bound = 5 * np.sqrt(0.25 * 0.75 / USERS)
    assert np.all(np.abs(found - np.array([0.75] + [0.25] * (K - 1))) <= bound)


def test_a_short_list_is_one() -> None:
    plan = Plan(position_bias=0.0, noise=0.0)
    assert clicks(["i3"], {"i3"}, draws(plan, 0, 0, 0), plan) == ["i3"]
    assert clicks([], {"i3"}, draws(plan, 0, 0, 0), plan) == []


def test_luck_is_that_of_the_seed_and_of_no_arm() -> None:
    of = [draws(Plan(explore=share), 1, 2, 0) for share in (0.0, 0.3)]
    assert np.array_equal(*of)
    others = [(Plan(seed=2), 1, 2, 0), (Plan(), 2, 2, 0), (Plan(), 1, 3, 0), (Plan(), 1, 2, 1)]
    assert all(not np.array_equal(of[0], draws(*other)) for other in others)


@pytest.mark.parametrize("requests", [1, 3, 100])
def test_requests_of_a_round_follow_each_other_within_its_day(requests: int) -> None:
    plan = Plan(requests=requests)
    for number in range(2):
        found = moments(plan, number, 5, 10)
        part = DAY // requests
        begins = [10 + number * DAY + n * part for n in range(requests)]
        assert all(b <= at and at + K <= b + part for b, at in zip(begins, found, strict=True))
