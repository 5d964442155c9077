"""Losses against PyTorch's own cross-entropy."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from builders.ranker.losses import full_softmax, sampled_softmax


def _inputs(
    rows: int, items: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(rows, 6, generator=generator, requires_grad=True)
    vectors = torch.randn(items + 1, 6, generator=generator, requires_grad=True)
    target = torch.randint(1, items + 1, (rows,), generator=generator)
    return state, vectors, target


@given(
    rows=st.integers(1, 40),
    items=st.integers(2, 30),
    temperature=st.floats(0.05, 2),
    smoothing=st.floats(0, 0.9),
)
def test_full_softmax_is_cross_entropy(
    rows: int, items: int, temperature: float, smoothing: float
) -> None:
    state, vectors, target = _inputs(rows, items)
    found = full_softmax(state, vectors, target, temperature=temperature, label_smoothing=smoothing)
    found.backward()  # type: ignore[no-untyped-call]
    gradients = state.grad, vectors.grad
    state, vectors, target = _inputs(rows, items)
    logits = state @ vectors[1:].T / temperature
    expected = cross_entropy(logits, target - 1, label_smoothing=smoothing)
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for got, wanted in zip(gradients, (state.grad, vectors.grad), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-4)


def test_full_softmax_is_the_same_in_chunks() -> None:
    state, vectors, target = _inputs(1300, 11)
    found = full_softmax(state, vectors, target, temperature=1, label_smoothing=0)
    expected = cross_entropy(state @ vectors[1:].T, target - 1)
    torch.testing.assert_close(found, expected)


def test_full_softmax_is_close_in_bfloat16() -> None:
    state, vectors, target = _inputs(50, 20)
    expected = full_softmax(state, vectors, target, temperature=1, label_smoothing=0)
    with torch.autocast("cpu", torch.bfloat16):
        found = full_softmax(state, vectors, target, temperature=1, label_smoothing=0)
    assert found.item() == pytest.approx(expected.item(), rel=0.03)


def test_every_item_once_as_a_negative_is_the_full_softmax() -> None:
    items = 25
    state, vectors, target = _inputs(30, items)
    log_q = torch.full((items + 1,), 1 / items).log()
    found = sampled_softmax(
        state,
        vectors,
        target,
        torch.arange(1, items + 1),
        log_q,
        temperature=0.5,
        label_smoothing=0,
    )
    expected = full_softmax(state, vectors, target, temperature=0.5, label_smoothing=0)
    torch.testing.assert_close(found, expected)


def test_the_correction_takes_the_bias_of_popular_negatives_away() -> None:
    items = 12
    state, vectors, target = _inputs(40, items)
    chance = torch.cat([torch.zeros(1), torch.arange(1, items + 1) ** 2.0])
    chance /= chance.sum()
    torch.manual_seed(0)
    negative = torch.multinomial(chance, 200_000, replacement=True)
    found = sampled_softmax(
        state, vectors, target, negative, chance.log(), temperature=1, label_smoothing=0
    )
    expected = full_softmax(state, vectors, target, temperature=1, label_smoothing=0)
    assert found.item() == pytest.approx(expected.item(), abs=0.01)


def test_smoothing_of_the_sampled_softmax_spreads_over_what_takes_part() -> None:
    state, vectors, target = _inputs(10, 6)
    negative = torch.tensor([1, 3, 3, 6])
    log_q = torch.randn(7)
    scores = state @ vectors[negative].T - log_q[negative] - torch.tensor(4.0).log()
    own = (state * vectors[target]).sum(1, keepdim=True)
    rows = []
    for row in range(10):
        kept = scores[row][negative != target[row]]
        logits = torch.cat([own[row], kept])[None]
        rows.append(cross_entropy(logits, torch.zeros(1, dtype=torch.long), label_smoothing=0.3))
    found = sampled_softmax(
        state, vectors, target, negative, log_q, temperature=1, label_smoothing=0.3
    )
    torch.testing.assert_close(found, torch.stack(rows).mean())
