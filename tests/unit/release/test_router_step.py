"""Who answers whom while a release is tried: the code that runs in the router."""

from __future__ import annotations

import queue
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.step_code import load_step
from serving.release.router import router_config, router_files
from serving.release.trial import Trial
from tests.triton.tiny import SOURCE

router = load_step(SOURCE / "router" / "1")
PARAMETERS = {"ensemble": "recommend", "current": "1", "candidate": "2", "mirror": "0"}
USERS = np.array([[f"user-{n}".encode()] for n in range(4000)], object)
ids = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=30)


def route(canary: float, **other: str) -> router.Route:
    return router.Route.parse({**PARAMETERS, "canary": str(canary), **other})


@given(users=ids, small=st.floats(0, 1), more=st.floats(0, 1))
def test_whom_the_candidate_answers_it_goes_on_answering_as_the_share_grows(
    users: list[bytes], small: float, more: float
) -> None:
    tensors = {"user_id": np.array([[user] for user in users], object)}
    first = route(small).releases(tensors)
    second = route(min(small + more, 1)).releases(tensors)
    assert first.dtype == np.int32
    assert set(first.tolist()) <= {1, 2}
    assert (second[first == 2] == 2).all()
    for row, user in enumerate(users):  # whoever else is in the request
        alone = route(small).releases({"user_id": np.array([[user]], object)})
        assert alone.tolist() == [first[row]]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_the_share_is_that_of_the_users(share: float) -> None:
    found = (route(share).releases({"user_id": USERS}) == 2).mean()
    assert abs(found - share) < 0.015  # three standard deviations at a half are 0.024
    assert share not in {0.0, 1.0} or found == share


def test_another_candidate_is_tried_on_others() -> None:
    one = route(0.1).releases({"user_id": USERS}) == 2
    other = route(0.1, candidate="3").releases({"user_id": USERS}) == 3
    assert (one & other).mean() < 0.02


def test_mirrored_are_others_than_those_of_the_canary() -> None:
    both = route(0.5, mirror="0.5")
    mirrored = [both.mirrored({"user_id": user[None]}) for user in USERS]
    tried = both.releases({"user_id": USERS}) == 2
    assert abs((tried & mirrored).mean() - 0.25) < 0.03
    assert not any(route(0.5).mirrored({"user_id": user[None]}) for user in USERS)


def test_a_request_without_users_goes_to_the_release_that_answers() -> None:
    assert route(1.0).releases({"k": np.zeros((3, 1), np.int32)}).tolist() == [1, 1, 1]
    assert route(1.0).releases({}).tolist() == [1]


def test_a_route_that_lacks_something() -> None:
    with pytest.raises(ValueError, match="expected the parameter 'canary' of a route"):
        router.Route.parse(PARAMETERS)
    with pytest.raises(ValueError):
        route(0.5, current="one")


@given(data=st.data(), rows=st.integers(1, 12))
def test_rows_come_back_in_order_whoever_answered_them(data: st.DataObject, rows: int) -> None:
    releases = np.array(data.draw(st.lists(st.sampled_from([1, 2]), min_size=rows, max_size=rows)))
    releases = releases.astype(np.int32)
    tensors = {
        "item_id": np.array([[f"{row}-{n}".encode() for n in range(3)] for row in range(rows)]),
        "score": np.arange(rows * 3, dtype=np.float32).reshape(rows, 3),
    }
    tensors["item_id"] = tensors["item_id"].astype(object)
    parts = router.split(tensors, releases)
    assert set(parts) == set(releases.tolist())
    whole = router.merged(releases, parts, list(tensors))
    assert whole.pop("release").tolist() == releases[:, None].tolist()
    for name, tensor in tensors.items():
        assert whole[name].dtype == tensor.dtype
        assert whole[name].tolist() == tensor.tolist()


def test_shorter_rows_are_filled_up() -> None:
    answers = {
        1: {"item_id": np.array([[b"a", b"b"]], object), "score": np.ones((1, 2), np.float32)},
        2: {"item_id": np.array([[b"c"]], object), "score": np.ones((1, 1), np.float32)},
    }
    whole = router.merged(np.array([2, 1], np.int32), answers, ["item_id", "score"])
    assert whole["item_id"].tolist() == [[b"c", b""], [b"a", b"b"]]
    assert whole["score"].tolist() == [[1, 0], [1, 1]]


def test_what_an_older_release_does_not_say_is_left_out() -> None:
    one = {"score": np.ones((1, 1), np.float32)}
    more = {**one, "degraded": np.ones((1, 1), bool)}
    releases = np.array([1, 2], np.int32)
    whole = router.merged(releases, {1: one, 2: more}, ["score", "degraded"])
    assert set(whole) == {"release", "score"}
    assert set(router.merged(releases, {1: more, 2: more}, ["score", "degraded"])) == {
        "release",
        "score",
        "degraded",
    }


def test_a_slow_candidate_holds_nothing_up() -> None:
    begun, go = threading.Event(), threading.Event()
    asked = []

    def ask(request: int) -> None:
        asked.append(request)
        begun.set()
        go.wait()

    shadow = router.Shadow(ask)
    assert shadow.mirror(0)
    begun.wait()
    assert [shadow.mirror(n) for n in range(1, 100)] == [True] * 64 + [False] * 35
    closing = threading.Thread(target=shadow.close)
    closing.start()
    shadow._over.wait()
    go.set()
    closing.join()
    assert asked == [0]  # nobody waits for the others


def test_what_is_mirrored_is_asked_in_order() -> None:
    asked: queue.Queue[int] = queue.Queue()
    shadow = router.Shadow(asked.put)
    assert all(shadow.mirror(n) for n in range(20))
    assert [asked.get() for _ in range(20)] == list(range(20))
    shadow.close()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("in ensemble 'recommend_current', k: expected 1 to 100, got 0", "INVALID_ARG"),
        (
            "in ensemble 'r', [request id: 1] Exceeds maximum queue size",
            "UNAVAILABLE",
        ),
        ("in ensemble 'recommend_current', Request timeout expired", "UNAVAILABLE"),
        ("Model 'recommend_candidate' is not ready.", "UNAVAILABLE"),
        ("in ensemble 'recommend_current', the stub process is not healthy", "INTERNAL"),
    ],
)
def test_an_error_keeps_its_kind(message: str, code: str) -> None:
    assert router.code_of(message) == code


def test_the_router_declares_what_the_ensemble_does_and_who_answered() -> None:
    ensemble = {
        "name": "recommend",
        "max_batch_size": 128,
        "input": [{"name": "user_id", "dims": ["1"]}, {"name": "recent", "dims": ["-1"]}],
        "output": [{"name": "item_id", "dims": ["-1"]}],
    }
    config = router_config(ensemble, {"x": 1}, Trial(3, 4, 0.1, 0.2))
    assert [i["allow_ragged_batch"] for i in config["input"]] == [False, True]
    assert [o["name"] for o in config["output"]] == ["item_id", "release"]
    assert config["dynamic_batching"] == {"x": 1}
    assert config["version_policy"] == {"specific": {"versions": [3]}}
    said = {name: p["string_value"] for name, p in config["parameters"].items()}
    assert router.Route.parse(said) == router.Route("recommend", 3, 4, 0.1, 0.2)
    assert router.Route.parse(said).model(4) == "recommend_candidate"
    assert router.Route.parse(said).model(3) == "recommend_current"
    assert {"3/model.py", "3/router_step/route.py", "3/router_step/measures.py"} <= set(
        router_files(3)
    )
