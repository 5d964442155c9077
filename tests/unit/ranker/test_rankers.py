"""What every ranker promises: causal, padding-safe, one state per event, shortcuts exact."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from builders.ranker.interface import Ranker
from builders.ranker.registry import build_ranker
from builders.ranker.settings import Ranker as RankerSettings
from ensembles.contracts import CANDIDATE_FEATURES_WIDTH as WIDTH
from ensembles.contracts import HEAD_FEATURES
from ensembles.errors import SettingsError

N, H = 20, 9
OWN = "tests.unit.ranker.own_ranker:"
SHAPES: dict[str, dict[str, object]] = {
    "learned": {"positions": "learned"},
    "rotary": {"positions": "rotary"},
    "dot product": {"normalise": False},
    "one layer": {"layers": 1},
    "lstm": {"kind": "lstm"},
    "own": {"kind": OWN + "MeanRanker"},
}


def make(name: str) -> Ranker:
    torch.manual_seed(0)
    shape: dict[str, object] = {"width": 8, "heads": 2, **SHAPES[name]}
    ranker = build_ranker(N, H, RankerSettings.model_validate(shape)).eval()
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.normal_(std=0.5)
    return ranker


RANKERS = {name: make(name) for name in SHAPES}
rankers = pytest.mark.parametrize("name", SHAPES)
histories = st.lists(st.integers(1, N), min_size=1, max_size=H)


def padded(events: list[int], width: int) -> torch.Tensor:
    return torch.tensor([[0] * (width - len(events)) + events])


@rankers
@given(events=histories)
@torch.no_grad()
def test_padding_on_the_left_changes_nothing(name: str, events: list[int]) -> None:
    ranker = RANKERS[name]
    bare, wide = ranker.encode(padded(events, len(events))), ranker.encode(padded(events, H))
    torch.testing.assert_close(wide[:, -len(events) :], bare)


@torch.no_grad()
def test_training_and_serving_give_the_same_states() -> None:
    settings = RankerSettings.model_validate({"width": 8, "heads": 2, "dropout": 0})
    torch.manual_seed(0)
    ranker = build_ranker(N, H, settings)
    for parameter in ranker.parameters():
        parameter.normal_()
    rows = torch.cat([padded(list(range(1, 1 + n)), H) for n in range(1, H + 1)])
    torch.testing.assert_close(ranker.train().encode(rows), ranker.eval().encode(rows))


@rankers
@given(events=histories, data=st.data())
@torch.no_grad()
def test_batch_mates_change_nothing(name: str, events: list[int], data: st.DataObject) -> None:
    ranker, other = RANKERS[name], data.draw(histories)
    alone = ranker.encode(padded(events, H))
    together = ranker.encode(torch.cat([padded(other, H), padded(events, H)]))[1:]
    torch.testing.assert_close(together, alone)


@rankers
@torch.no_grad()
def test_a_state_sees_no_later_event(name: str) -> None:
    # Ages are counted from the newest event, so with them only the length must stay.
    ranker = RANKERS[name]
    rng = np.random.default_rng(1)
    first = torch.from_numpy(rng.integers(1, N + 1, (5, H)))
    for cut in range(1, H):
        second = first.clone()
        second[:, cut:] = torch.from_numpy(rng.integers(1, N + 1, (5, H - cut)))
        torch.testing.assert_close(ranker.encode(second)[:, :cut], ranker.encode(first)[:, :cut])


@rankers
@given(events=st.lists(st.integers(1, N), max_size=H))
@torch.no_grad()
def test_user_vector_is_the_newest_state(name: str, events: list[int]) -> None:
    ranker, history = RANKERS[name], padded(events, H)
    torch.testing.assert_close(ranker.user_vector(history), ranker.encode(history)[:, -1])


@rankers
@torch.no_grad()
def test_empty_history_is_finite_and_one_state(name: str) -> None:
    states = RANKERS[name].encode(torch.zeros(2, H, dtype=torch.int64))
    assert states.isfinite().all()
    torch.testing.assert_close(states, states[:1, :1].expand_as(states))


@rankers
@torch.no_grad()
def test_forward_is_dot_product_plus_head(name: str) -> None:
    ranker = RANKERS[name]
    assert ranker.head is not None
    history = torch.randint(0, N + 1, (3, H)).sort(1).values
    candidate, features = torch.randint(0, N + 1, (3, 4)), torch.randn(3, 4, WIDTH)
    features[..., HEAD_FEATURES:] = 0  # No picture.
    expected = ranker.head(features)
    for row in range(3):
        for column in range(4):
            vector = ranker.item_vectors()[candidate[row, column]]
            expected[row, column] += vector @ ranker.encode(history)[row, -1]
    torch.testing.assert_close(ranker(history, candidate, features), expected)


def test_order_matters_to_positions() -> None:
    for name in ("learned", "rotary", "lstm"):
        one, other = RANKERS[name](*_inputs([1, 2, 3])), RANKERS[name](*_inputs([2, 1, 3]))
        assert not torch.allclose(one, other)


def _inputs(events: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return padded(events, H), torch.tensor([[4, 5]]), torch.zeros(1, 2, WIDTH)


def test_cosine_scores_stay_between_minus_one_and_one() -> None:
    ranker = RANKERS["rotary"]
    for vectors in (ranker.item_vectors(), ranker.user_vector(padded([1, 2], H))):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(vectors)))


def test_an_untrained_head_adds_nothing() -> None:
    ranker = build_ranker(N, H, RankerSettings(width=8))
    assert ranker.head is not None
    assert not ranker.head(torch.randn(2, 3, WIDTH)).any()
    assert build_ranker(N, H, RankerSettings(width=8, hybrid=False)).head is None


def test_a_plain_module_is_adapted() -> None:
    ranker = build_ranker(N, H, RankerSettings(kind=OWN + "Plain", width=8))
    assert ranker.head is not None
    assert ranker(*_inputs([1])).shape == (1, 2)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("transformr", "Did you mean 'transformer'"),
        (":Class", "package.module:Class"),
        ("no.such.module:Class", "cannot import 'no.such.module'"),
        (OWN + "MeanRnker", "Did you mean 'MeanRanker'"),
        (OWN + "annotations", "no torch.nn.Module"),
        (OWN + "NoVectors", "lacks item_vectors"),
        (OWN + "NoArguments", "constructed as"),
        (OWN + "WrongShape", "encode must give"),
        (OWN + "NotFinite", "finite for a row of padding"),
    ],
)
def test_unusable_kinds(kind: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        build_ranker(N, H, RankerSettings(kind=kind, width=8))


def test_rotary_positions_need_an_even_width_per_head() -> None:
    with pytest.raises(SettingsError, match="even width per head"):
        build_ranker(N, H, RankerSettings(width=6, heads=2, positions="rotary"))
