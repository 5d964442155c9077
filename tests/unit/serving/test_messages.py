"""Requests and answers as tensors."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import InvalidRequest, RequestError
from serving.messages import (
    Request,
    check_pictures_are_taken,
    decode,
    encode,
    ensemble_for,
    without_prefix,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


def bytes_of(*values: str) -> bytes:
    raws = [v.encode() for v in values]
    return b"".join(struct.pack("<I", len(raw)) + raw for raw in raws)


def test_one_request_carries_every_input() -> None:
    user, k, candidates, recent = encode([Request("ü", 5, ["a", "bc"])])
    assert (user.spec.name, user.shape, user.content) == ("user_id", (1, 1), bytes_of("ü"))
    assert (k.spec.name, k.shape, k.content) == ("k", (1, 1), struct.pack("<i", 5))
    assert (candidates.shape, candidates.content) == ((1, 2), bytes_of("a", "bc"))
    assert (recent.spec.name, recent.shape, recent.content) == ("recent", (1, 0), b"")


def test_rows_are_filled_up() -> None:
    _, k, candidates, recent = encode([Request("u", 1, ["a"]), Request("v", 2, None, ["x", "y"])])
    assert k.content == struct.pack("<ii", 1, 2)
    assert (candidates.shape, candidates.content) == ((2, 1), bytes_of("a", ""))
    assert (recent.shape, recent.content) == ((2, 2), bytes_of("", "", "x", "y"))


@pytest.mark.parametrize(
    "wrong", [Request("u", 2**31), Request("\ud800"), Request("u", 1, ["\udfff"])]
)
def test_what_no_tensor_can_hold(wrong: Request) -> None:
    with pytest.raises(InvalidRequest, match="expected ids that are text"):
        encode([wrong])


def test_no_request_at_all() -> None:
    with pytest.raises(InvalidRequest, match="at least one request"):
        encode([])


@given(st.lists(st.lists(TEXT.filter(bool), max_size=4), min_size=1, max_size=4))
def test_answers_are_read_back(rows: list[list[str]]) -> None:
    slots = max(map(len, rows))
    ids = [item for row in rows for item in row + [""] * (slots - len(row))]
    scores = [float(i) for i in range(len(ids))]
    contents = {"item_id": bytes_of(*ids), "score": struct.pack(f"<{len(ids)}f", *scores)}
    answers = decode(contents, len(rows), "7", 0.5)
    assert [list(a.items) for a in answers] == rows
    assert [a.scores for a in answers] == [
        tuple(scores[n * slots : n * slots + len(row)]) for n, row in enumerate(rows)
    ]
    assert {(a.release, a.seconds) for a in answers} == {(7, 0.5)}


def test_while_a_release_is_tried_each_row_says_who_gave_it() -> None:
    ids = struct.pack("<I", 1) + b"a" + struct.pack("<I", 1) + b"b"
    contents = {"item_id": ids, "score": struct.pack("<2f", 1, 2)}
    assert [a.release for a in decode(contents, 2, "4", 0.1)] == [4, 4]
    contents["release"] = struct.pack("<2i", 4, 5)
    assert [a.release for a in decode(contents, 2, "4", 0.1)] == [4, 5]
    contents["release"] = b"?"
    with pytest.raises(RequestError, match="is this server one of ours"):
        decode(contents, 2, "4", 0.1)


def test_degraded_rows_are_marked_and_older_servers_do_not_say() -> None:
    contents = {"item_id": bytes_of("a", "b"), "score": bytes(8)}
    assert [a.degraded for a in decode(contents, 2, "1", 0.1)] == [False, False]
    contents["degraded"] = b"\0\1"
    assert [a.degraded for a in decode(contents, 2, "1", 0.1)] == [False, True]
    with pytest.raises(RequestError, match="is this server one of ours"):
        decode({**contents, "degraded": b"\1"}, 2, "1", 0.1)


@pytest.mark.parametrize(
    ("contents", "release"),
    [
        ({}, "1"),
        ({"item_id": bytes_of("a")}, "1"),
        ({"item_id": bytes_of("a"), "score": b"\x00"}, "1"),
        ({"item_id": b"\x01", "score": b""}, "1"),
        ({"item_id": b"\x01\x00\x00\x00\xff", "score": bytes(4)}, "1"),
        ({"item_id": bytes_of("a"), "score": bytes(4)}, "one"),
    ],
)
def test_answer_of_something_else(contents: dict[str, bytes], release: str) -> None:
    with pytest.raises(RequestError, match="is this server one of ours"):
        decode(contents, 1, release, 0.1)


def test_ensemble_is_left_out_of_sentences() -> None:
    assert without_prefix("in ensemble 'recommend', k: expected") == "k: expected"
    assert without_prefix("k: in ensemble 'x', y") == "k: in ensemble 'x', y"


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6))
def test_pictures_of_several_rows_are_read_back(images: list[bytes]) -> None:
    tensors = encode([Request(f"user-{n}", image=image) for n, image in enumerate(images)])
    assert [t.spec.name for t in tensors] == ["user_id", "k", "candidates", "recent", "image"]
    picture = tensors[-1]
    longest = max(map(len, images))
    assert picture.shape == (len(images), longest)
    rows = [picture.content[n : n + longest] for n in range(0, len(picture.content), longest)]
    assert [row[: len(image)] for row, image in zip(rows, images, strict=True)] == images
    assert not any(b"".join(row[len(image) :] for row, image in zip(rows, images, strict=True)))
    assert ensemble_for(tensors) == "recommend_visual"


def test_without_a_picture_no_picture_is_sent() -> None:
    assert ensemble_for(encode([Request("u"), Request("v")])) == "recommend"


def test_all_have_a_picture_or_none() -> None:
    with pytest.raises(InvalidRequest, match="in every request of one call or in none, got 1 in 2"):
        encode([Request("u", image=b"x"), Request("v")])


def test_a_server_that_knows_no_pictures() -> None:
    unknown = RequestError("Request for unknown model: 'recommend_visual' is not found")
    with pytest.raises(InvalidRequest, match="takes no pictures; build with data.images or visual"):
        check_pictures_are_taken(unknown, "recommend_visual")
    check_pictures_are_taken(unknown, "recommend")
    check_pictures_are_taken(RequestError("something else"), "recommend_visual")


def test_a_picture_is_not_printed() -> None:
    assert "xyz" not in repr(Request("u", image=b"xyz"))
