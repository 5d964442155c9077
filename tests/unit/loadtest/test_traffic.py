from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from ensembles.errors import LoadTestError
from loadtest.traffic import Protocol, draw, holdout_users, prepare

USERS = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=20)


def test_users_come_from_the_newest_release(release: Path) -> None:
    newer = release / "recommend" / "12"
    newer.mkdir()
    (newer / "holdout.json").write_text(json.dumps({"users": ["new"], "items": ["x"]}))
    assert holdout_users(release) == ["new"]


def test_without_a_release(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match="millirank build"):
        holdout_users(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense"])
def test_unreadable_file(release: Path, text: str) -> None:
    (release / "recommend" / "3" / "holdout.json").write_text(text)
    with pytest.raises(LoadTestError, match="build the release again"):
        holdout_users(release)


@pytest.mark.parametrize("users", [[], [1], "abc"])
def test_no_users(release: Path, users: object) -> None:
    (release / "recommend" / "3" / "holdout.json").write_text(json.dumps({"users": users}))
    with pytest.raises(LoadTestError, match="hold_out_test"):
        holdout_users(release)


@given(USERS, st.integers(0, 2**32), st.integers(0, 200))
def test_a_seed_repeats_the_draw(users: list[str], seed: int, count: int) -> None:
    drawn = draw(users, count, seed)
    assert drawn == draw(users, count, seed)
    assert len(drawn) == count
    assert set(drawn) <= set(users)


def test_other_seeds_draw_others() -> None:
    users = [str(i) for i in range(1000)]
    assert draw(users, 100, 1) != draw(users, 100, 2)


@given(USERS)
def test_grpc_bytes_are_the_request(users: list[str]) -> None:
    for user, prepared in zip(users, prepare(Protocol.GRPC, users), strict=True):
        message = service_pb2.ModelInferRequest.FromString(prepared.body)
        names = [tensor.name for tensor in message.inputs]
        content = message.raw_input_contents[names.index("user_id")]
        assert message.model_name == "recommend"
        assert content[4:] == user.encode()


@given(USERS)
def test_http_bytes_are_the_request(users: list[str]) -> None:
    for user, prepared in zip(users, prepare(Protocol.HTTP, users), strict=True):
        length = int(prepared.headers["Inference-Header-Content-Length"])
        described = json.loads(prepared.body[:length])["inputs"]
        assert described[0]["name"] == "user_id"
        size = described[0]["parameters"]["binary_data_size"]
        assert prepared.body[length + 4 : length + size] == user.encode()
