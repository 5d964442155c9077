from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from ensembles.errors import LoadTestError
from loadtest import traffic
from loadtest.traffic import (
    Protocol,
    draw,
    holdout_users,
    offered,
    prepare,
    requests_for,
    sample_pictures,
)
from serving.messages import Request
from tests.unit.loadtest.triton_stub import PICTURES

USERS = st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=20)
IMAGES = st.lists(st.binary(min_size=1, max_size=50), max_size=5)


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


def test_pictures_come_from_the_newest_release(visual_release: Path) -> None:
    assert sample_pictures(visual_release) == PICTURES
    assert offered(visual_release) == {"recommend": [], "recommend_visual": PICTURES}
    (visual_release / "recommend" / "4").mkdir()
    assert sample_pictures(visual_release) == []
    assert list(offered(visual_release)) == ["recommend"]


def test_no_pictures_to_send(visual_release: Path) -> None:
    samples = visual_release / "recommend_visual" / "3" / "samples"
    for file in samples.iterdir():
        file.unlink()
    with pytest.raises(LoadTestError, match="should hold pictures"):
        sample_pictures(visual_release)
    samples.rmdir()
    with pytest.raises(LoadTestError, match="cannot read its samples"):
        sample_pictures(visual_release)


def test_requests_for_an_ensemble(visual_release: Path) -> None:
    plain = requests_for(visual_release, "recommend", seed=3)
    visual = requests_for(visual_release, "recommend_visual", seed=3)
    assert {r.image for r in plain} == {None}
    assert {r.image for r in visual} == set(PICTURES)
    # The same users, whatever else they send; each with every picture, sooner or later.
    assert [r.user_id for r in visual] == [r.user_id for r in plain]
    assert len({(r.user_id, r.image) for r in visual}) > 0.9 * 40 * 5


def test_large_pictures_are_sent_by_fewer_requests(
    visual_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "_DRAWN_BYTES", 200_500)
    assert len(requests_for(visual_release, "recommend_visual", seed=3)) == 10
    assert len(requests_for(visual_release, "recommend", seed=3)) == traffic.DRAWN
    monkeypatch.setattr(traffic, "_DRAWN_BYTES", 1)
    assert len(requests_for(visual_release, "recommend_visual", seed=3)) == 1


def test_an_ensemble_that_the_release_does_not_have(release: Path) -> None:
    with pytest.raises(LoadTestError, match="recommends by.*got 'recommend_visual'"):
        requests_for(release, "recommend_visual", seed=3)


@given(USERS, IMAGES, st.integers(0, 2**32), st.integers(0, 200))
def test_a_seed_repeats_the_draw(
    users: list[str], pictures: list[bytes], seed: int, count: int
) -> None:
    drawn = draw(users, count, seed, pictures)
    assert drawn == draw(users, count, seed, pictures)
    assert len(drawn) == count
    assert {r.user_id for r in drawn} <= set(users)
    assert {r.image for r in drawn} <= {*pictures, None}
    assert all((r.image is not None) == bool(pictures) for r in drawn)


def test_other_seeds_draw_others() -> None:
    users = [str(i) for i in range(1000)]
    assert draw(users, 100, 1) != draw(users, 100, 2)


def asking(users: list[str], pictures: list[bytes]) -> list[Request]:
    """Each user once, the first ones with pictures."""
    images = [*pictures, *[None] * len(users)]
    return [Request(u, image=image) for u, image in zip(users, images, strict=False)]


@given(USERS, IMAGES)
def test_grpc_bytes_are_the_request(users: list[str], pictures: list[bytes]) -> None:
    requests = asking(users, pictures)
    for request, prepared in zip(requests, prepare(Protocol.GRPC, requests), strict=True):
        message = service_pb2.ModelInferRequest.FromString(prepared.body)
        names = [tensor.name for tensor in message.inputs]
        contents = dict(zip(names, message.raw_input_contents, strict=True))
        assert contents["user_id"][4:] == request.user_id.encode()
        assert contents.get("image") == request.image
        visual = request.image is not None
        assert message.model_name == ("recommend_visual" if visual else "recommend")


@given(USERS, IMAGES)
def test_http_bytes_are_the_request(users: list[str], pictures: list[bytes]) -> None:
    requests = asking(users, pictures)
    for request, prepared in zip(requests, prepare(Protocol.HTTP, requests), strict=True):
        length = int(prepared.headers["Inference-Header-Content-Length"])
        contents, at = {}, length
        for tensor in json.loads(prepared.body[:length])["inputs"]:
            size = tensor["parameters"]["binary_data_size"]
            contents[tensor["name"]] = prepared.body[at : at + size]
            at += size
        assert at == len(prepared.body)
        assert contents["user_id"][4:] == request.user_id.encode()
        assert contents.get("image") == request.image
