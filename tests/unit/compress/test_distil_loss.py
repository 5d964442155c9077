"""Distillation: the loss against the plain formula, and the teacher's states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from builders.compress.distil_module import DistilModule
from builders.compress.divergence import softened_divergence
from builders.compress.interface import CompressionData
from builders.compress.settings import Distil
from builders.compress.teacher_states import covering_windows, teacher_states
from builders.ranker.batches import EpochBatches
from tests.unit.ranker.tiny_log import dataset_of


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_the_divergence_and_its_gradient_are_those_of_the_plain_formula(chunk: int) -> None:
    torch.manual_seed(0)
    state, vectors, asked, known = (
        torch.randn(*size, dtype=torch.float64) for size in ((7, 4), (12, 4), (7, 6), (12, 6))
    )
    found_at = [x.clone().requires_grad_() for x in (state, vectors)]
    plain_at = [x.clone().requires_grad_() for x in (state, vectors)]
    mine, table = found_at
    found = softened_divergence(mine, table, asked, known, temperature=0.3, chunk=chunk)
    given_ = torch.log_softmax(plain_at[0] @ plain_at[1][1:].T / 0.3, 1)
    wanted = torch.softmax(asked @ known[1:].T / 0.3, 1)
    plain = functional.kl_div(given_, wanted, reduction="batchmean")
    (3 * found).backward()  # type: ignore[no-untyped-call]
    (3 * plain).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, plain)
    for one, other in zip(found_at, plain_at, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_mixed_precision_divergence_is_near_that_of_float32() -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(*size) for size in ((9, 8), (12, 8), (9, 8), (12, 8))]
    state, vectors, asked, known = tensors
    exact = softened_divergence(state, vectors, asked, known, temperature=1.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = softened_divergence(state, vectors, asked, known, temperature=1.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.01)


def test_a_teacher_has_nothing_to_learn_from_itself(data: CompressionData) -> None:
    loss = first_loss(data, label_weight=0.0)
    assert loss.item() == pytest.approx(0.0, abs=1e-5)
    parameters = [p for n, p in data.teacher.ranker.named_parameters() if "head" not in n]
    slopes = torch.autograd.grad(loss, parameters)
    labels = torch.autograd.grad(first_loss(data, label_weight=1.0), parameters)
    steepest = max(float(slope.abs().max()) for slope in labels)
    assert max(float(slope.abs().max()) for slope in slopes) < 0.01 * steepest


def test_the_loss_is_shared_between_labels_and_teacher(data: CompressionData) -> None:
    shares = [first_loss(data, label_weight=share, off=0.1).item() for share in (0.0, 0.25, 1.0)]
    assert shares[1] == pytest.approx(0.75 * shares[0] + 0.25 * shares[2], rel=1e-5)
    assert shares[0] > 0.01


def test_a_higher_temperature_leaves_the_loss_its_size(data: CompressionData) -> None:
    """The squared ratio of the temperatures: near a uniform softmax it is exact."""
    label = data.settings.train.temperature
    sizes = [
        first_loss(data, label_weight=0.0, off=0.1, temperature=label * times).item()
        for times in (100.0, 200.0)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def first_loss(data: CompressionData, off: float = 0.0, **distilled: Any) -> Tensor:
    """Of the teacher as its own student, its states moved by ``off`` in one direction."""
    states = np.array(teacher_states(data))
    states[:, 0] += off
    vectors = data.teacher.ranker.item_vectors().detach()
    settings = Distil(**distilled)
    common = (data.teacher.ranker, data.dataset, data.settings.train, 8, data.work, data.log)
    module = DistilModule(*common, states=states, teacher_vectors=vectors, distil=settings)
    for parameter in data.teacher.ranker.parameters():
        parameter.requires_grad_(True)
    # Targets early in a sequence: every window sees all events before them.
    batch = next(iter(EpochBatches(data.dataset, 8, 64, 0, 0)))
    early = torch.from_numpy(np.isin(batch.place, places_seen_whole(data)))
    return module.training_step(batch._replace(target=batch.target * early), 0)


def places_seen_whole(data: CompressionData) -> NDArray[np.int64]:
    """Of users whose training events fit one window."""
    dataset = data.dataset
    short = np.flatnonzero(dataset.train_end - dataset.offsets[:-1] <= 8)
    return np.concatenate([np.arange(dataset.offsets[u], dataset.train_end[u]) for u in short])


def test_states_are_those_after_the_whole_history_where_it_fits(data: CompressionData) -> None:
    dataset, ranker = data.dataset, data.teacher.ranker
    states = teacher_states(data)
    place = np.flatnonzero(dataset.train_mask())
    user = np.repeat(np.arange(dataset.users), np.diff(dataset.offsets))[place]
    fits = place - dataset.offsets[user] < 8
    history = torch.from_numpy(dataset.before(user[fits], place[fits], 8))
    with torch.no_grad():
        wanted = ranker.user_vector(history).numpy()
    assert fits.sum() > 100
    np.testing.assert_allclose(states[place[fits]], wanted, atol=2e-3)
    assert not states[~dataset.train_mask()].any()


def test_states_are_made_once_for_all_passes(
    data: CompressionData, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = teacher_states(data)
    monkeypatch.setattr(data.teacher.ranker, "encode", None)
    again = teacher_states(replace(data, work=data.work / "a-pass", common=data.work))
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(first, again)


@given(
    lengths=st.lists(st.integers(2, 40), min_size=1, max_size=5),
    history=st.integers(1, 12),
)
def test_windows_hold_every_training_event_once(lengths: Sequence[int], history: int) -> None:
    dataset = dataset_of([[1] * n for n in lengths])
    user, keep, end = covering_windows(dataset, history)
    held = [np.arange(a, b) for a, b in zip(keep, end, strict=True)]
    np.testing.assert_array_equal(
        np.sort(np.concatenate(held or [np.zeros(0)])), np.flatnonzero(dataset.train_mask())
    )
    begin = dataset.offsets[user]
    assert (keep >= np.maximum(begin, end - history)).all()
    seen = keep - np.maximum(begin, end - history)
    assert ((seen >= history // 2) | (keep == begin)).all()
