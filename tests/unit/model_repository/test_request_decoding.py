"""Requests are decoded, or refused with a sentence."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

KNOWN = {b"a": 1, b"b": 2, "ü".encode(): 3}


@pytest.fixture(scope="module")
def limits(features: ModuleType) -> Any:
    return features.Limits(k_default=10, k_max=100, id_bytes=8, candidates=4, recent=3)


def tensors(users: list[bytes] | None = None, k: Any = None, **lists: list[list[bytes]]) -> Any:
    made: dict[str, Any] = {}
    if users is not None:
        made["user_id"] = np.array(users, object).reshape(-1, 1)
    if k is not None:
        made["k"] = np.array(k, np.int32).reshape(-1, 1)
    for name, rows in lists.items():
        array = np.empty((len(rows), max(map(len, rows))), object)
        for place, row in enumerate(rows):
            array[place] = row
        made[name] = array
    return made


def decode(features: ModuleType, limits: Any, made: Any) -> Any:
    return features.request.decode(made, limits, lambda ids: [KNOWN.get(i, 0) for i in ids])


def test_everything_given(features: ModuleType, limits: Any) -> None:
    rows = decode(
        features,
        limits,
        tensors(
            [b"u", b"v"],
            [5, 100],
            candidates=[[b"b", b"x", b"b", b"a"], [b"a", b"", b"", b""]],
            recent=[[b"a", b"a"], [b"", b""]],
        ),
    )
    assert rows.users == [b"u", b"v"]
    assert rows.k.tolist() == [5, 100]
    assert rows.candidates == [[2, 1], [1]]  # unknown ignored, repeated once
    assert rows.recent == [[1, 1], []]
    assert rows.unknown == 1


def test_only_users(features: ModuleType, limits: Any) -> None:
    rows = decode(features, limits, tensors([b"u", "ü".encode()]))
    assert rows.k.tolist() == [10, 10]
    assert rows.candidates == rows.recent == [[], []]
    assert rows.unknown == 0


def test_lists_of_no_width_are_left_out(features: ModuleType, limits: Any) -> None:
    rows = decode(features, limits, tensors([b"u"], candidates=[[]], recent=[[]]))
    assert rows.candidates == rows.recent == [[]]


BAD = [
    (tensors(k=[3]), "user_id: expected one id a row, but"),
    (tensors([b""]), "user_id: expected an id, got an empty"),
    (tensors([b"a", b""]), "user_id: expected an id, got an empty"),
    (tensors([b"x" * 9]), "user_id: expected ids of at most 8 bytes, got one of 9"),
    (tensors([b"\xff"]), "user_id: expected UTF-8"),
    (tensors([b"\xc3", b"\xbc"]), "user_id: expected UTF-8"),  # a letter in two halves
    (tensors([b"u"], [0]), "k: expected 1 to 100, got 0"),
    (tensors([b"u", b"v"], [5, 101]), "k: expected 1 to 100, got 101"),
    (tensors([b"u"], candidates=[[b"a"] * 5]), "candidates: expected at most 4 ids, got 5"),
    (tensors([b"u"], recent=[[b"a"] * 4]), "recent: expected at most 3 ids, got 4"),
    (tensors([b"u"], candidates=[[b"x", b"y"]]), "candidates: none of the given ids is known"),
    (tensors([b"u", b"v"], candidates=[[b"a"], [b"x"]]), "candidates: none of the given"),
    (tensors([b"u"], candidates=[[b"a", b""]]), "candidates: expected ids, got an empty string"),
    (tensors([b"u", b"v"], recent=[[b"", b"a"], [b"a", b""]]), "recent: expected ids, got an"),
    (tensors([b"u"], recent=[[b"\x80"]]), "recent: expected UTF-8"),
    (tensors([b"u"], candidates=[[b"a", b"x" * 9]]), "candidates: expected ids of at most 8"),
]


@pytest.mark.parametrize(("made", "sentence"), BAD)
def test_bad_requests(features: ModuleType, limits: Any, made: Any, sentence: str) -> None:
    with pytest.raises(features.BadRequest) as error:
        decode(features, limits, made)
    assert str(error.value).startswith(sentence)


@settings(max_examples=300, deadline=None)
@given(
    users=st.lists(st.binary(max_size=10), min_size=1, max_size=3),
    k=st.none() | st.integers(-5, 105),
    width=st.integers(0, 5),
    data=st.data(),
)
def test_any_bytes_give_rows_or_a_sentence(
    features: ModuleType,
    limits: Any,
    users: list[bytes],
    k: int | None,
    width: int,
    data: st.DataObject,
) -> None:
    ids = st.sampled_from([b"a", b"b", b"", b"x"]) | st.binary(max_size=10)
    row = st.lists(ids, min_size=width, max_size=width)
    made = tensors(
        users,
        None if k is None else [k] * len(users),
        candidates=data.draw(st.lists(row, min_size=len(users), max_size=len(users))),
    )
    try:
        rows = decode(features, limits, made)
    except features.BadRequest as e:
        assert str(e).split(":")[0] in {"user_id", "k", "candidates"}  # noqa: PT017
    else:
        assert len(rows.users) == len(rows.k) == len(rows.candidates) == len(rows.recent)
        assert all(1 <= value <= 100 for value in rows.k)
        assert all(set(row) <= {1, 2, 3} and len(set(row)) == len(row) for row in rows.candidates)


def test_limits_out_of_parameters(features: ModuleType) -> None:
    given = {"k_default": "3", "k_max": "5", "id_bytes": "9", "candidates": "7", "recent": "2"}
    assert features.Limits.parse(given | {"state": "x"}).k_max == 5
    for wrong in ({"k_max": "many"}, {}):
        with pytest.raises(ValueError, match="needs the parameters"):
            features.Limits.parse(({} if not wrong else given) | wrong)
