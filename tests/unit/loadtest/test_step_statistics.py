from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import LoadTestError
from ensembles.fuse import FUSED
from loadtest.step_statistics import Totals, chain_times, read_chain, read_snapshot
from tests.unit.loadtest.triton_stub import ENSEMBLE_MS, STEPS, TIMES_MS, TritonStub

TOTALS = st.builds(Totals, st.integers(1, 10**6), *[st.integers(0, 10**12)] * 5)


def plus(a: Totals, b: Totals) -> Totals:
    return Totals(*(x + y for x, y in zip(vars(a).values(), vars(b).values(), strict=True)))


def test_means_of_what_happened_in_between(triton_stub: TritonStub) -> None:
    triton_stub.answered = 1000
    before = read_snapshot("127.0.0.1", triton_stub.port)
    triton_stub.answered = 1250
    after = read_snapshot("127.0.0.1", triton_stub.port)
    chain = chain_times(before, after, read_chain("127.0.0.1", triton_stub.port))
    assert chain.ensemble.total_ms == pytest.approx(ENSEMBLE_MS)
    assert [step.name for step in chain.steps] == list(STEPS)
    for step in chain.steps:
        queue, *busy = TIMES_MS[step.name]
        assert step.count == 250
        assert step.queue_ms == pytest.approx(queue)
        assert step.busy_ms == pytest.approx(sum(busy))
        assert step.total_ms == pytest.approx(queue + sum(busy))


@given(TOTALS, TOTALS)
def test_what_came_before_does_not_count(past: Totals, now: Totals) -> None:
    from_zero = chain_times({"a": Totals(0, 0, 0, 0, 0, 0)}, {"a": now}, (), "a")
    assert chain_times({"a": past}, {"a": plus(past, now)}, (), "a") == from_zero


def test_versions_of_a_model_add_up(triton_stub: TritonStub) -> None:
    triton_stub.answered = 5
    stats = triton_stub.get("/v2/models/stats")
    once = read_snapshot("127.0.0.1", triton_stub.port)
    triton_stub.overrides["/v2/models/stats"] = {"model_stats": stats["model_stats"] * 2}
    twice = read_snapshot("127.0.0.1", triton_stub.port)
    assert twice == {name: plus(totals, totals) for name, totals in once.items()}


def test_no_server() -> None:
    with pytest.raises(LoadTestError, match="127.0.0.1:1"):
        read_snapshot("127.0.0.1", 1)


def test_another_server(triton_stub: TritonStub) -> None:
    triton_stub.overrides = {"/v2/models/stats": {"model_stats": [{"name": "a"}]}}
    with pytest.raises(LoadTestError, match="is it Triton"):
        read_snapshot("127.0.0.1", triton_stub.port)


def test_model_that_is_no_ensemble(triton_stub: TritonStub) -> None:
    triton_stub.overrides = {"/v2/models/recommend/config": {"name": "recommend"}}
    with pytest.raises(LoadTestError, match="not an ensemble"):
        read_chain("127.0.0.1", triton_stub.port)


@given(TOTALS)
def test_a_step_without_statistics_is_named(totals: Totals) -> None:
    with pytest.raises(LoadTestError, match="'rankr'.*Did you mean 'ranker'"):
        chain_times({"ranker": totals}, {"ranker": totals}, (), "rankr")


@given(TOTALS)
def test_nothing_answered_in_between(totals: Totals) -> None:
    with pytest.raises(LoadTestError, match="answered 0 requests"):
        chain_times({"a": totals}, {"a": totals}, (), "a")


def test_a_restart_in_between() -> None:
    before, after = Totals(1, 9, 9, 9, 9, 9), Totals(2, 1, 1, 1, 1, 1)
    with pytest.raises(LoadTestError, match="no restart"):
        chain_times({"a": before}, {"a": after}, (), "a")


def test_the_joined_model_needs_its_stages_reported() -> None:
    before = {FUSED: Totals(0, 0, 0, 0, 0, 0)}
    after = {FUSED: Totals(1, 9, 1, 1, 6, 1)}
    with pytest.raises(LoadTestError, match="no statistics of 'features_ranker_policy/features'"):
        chain_times(
            before | {"recommend": before[FUSED]}, after | {"recommend": after[FUSED]}, (FUSED,)
        )
