"""From ids and keys back to numbers, with a dictionary and without."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

IDS = ["", "item-1", "ü", "item-3", "a much longer id than the others"]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)


@pytest.fixture(scope="module", params=[True, False], ids=["dictionary", "arrays"])
def item_ids(request: pytest.FixtureRequest, features: ModuleType) -> Any:
    found = features.item_ids.ItemIds(IDS, dictionary=request.param)
    found.prepare()
    return found


def test_ids_lead_to_numbers(item_ids: Any) -> None:
    asked = [i.encode() for i in [*IDS, "unknown", "item-", "item-1", "item-11", "item-1\0"]]
    assert item_ids.numbers(asked) == [0, 1, 2, 3, 4, 0, 0, 1, 0, 0]
    assert item_ids.numbers([]) == []
    assert len(item_ids) == len(IDS)


def test_keys_lead_back_to_numbers(features: ModuleType, item_ids: Any) -> None:
    keys = features.item_keys([*IDS, "unknown"])
    np.testing.assert_array_equal(item_ids.numbers_of_keys(keys), [0, 1, 2, 3, 4, 0])
    np.testing.assert_array_equal(item_ids.numbers_of_keys(keys[1:3, None]), [[1], [2]])
    assert item_ids.numbers_of_keys(np.zeros(0, np.uint64)).tolist() == []


@given(known=st.lists(TEXT, min_size=1, max_size=20, unique=True), asked=st.lists(TEXT))
def test_arrays_answer_as_a_dictionary(
    features: ModuleType, known: list[str], asked: list[str]
) -> None:
    ids = features.item_ids.ItemIds(["", *known], dictionary=False)
    expected = [known.index(i) + 1 if i in known else 0 for i in [*known, *asked]]
    assert ids.numbers([i.encode() for i in [*known, *asked]]) == expected


def test_an_id_with_the_key_of_another_is_unknown(
    features: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = features.item_ids.ItemIds(["", "a", "b"], dictionary=False)
    key_of_a = features.item_keys(["a"])
    monkeypatch.setattr(features.item_ids, "_keys", lambda asked: key_of_a.repeat(len(asked)))
    assert ids.numbers([b"a", b"other"]) == [1, 0]


def test_keys_never_change(features: ModuleType) -> None:
    """A state that was written by an earlier release must stay readable."""
    keys = [12525836602579151652, 3976460501203677525]
    assert features.item_keys(["50", "ü"]).tolist() == keys


def test_ids_that_arrays_cannot_hold(features: ModuleType) -> None:
    with pytest.raises(ValueError, match="ends in a NUL character"):
        features.item_ids.ItemIds(["", "a\0"])
