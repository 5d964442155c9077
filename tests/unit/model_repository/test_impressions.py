"""What was shown goes into the log: of a share of the requests, and never in their way."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ensembles.step_code import load_step
from tests.triton.tiny import SOURCE
from tests.unit.model_repository import fake_pb_utils
from tests.unit.model_repository.recorded import NOW, RECORD
from tests.unit.model_repository.test_record_rules import Memory

chain = load_step(SOURCE / "features_ranker_policy" / "1")
RULES = RECORD.Rules({"impression": 0.0}, 256, 300, 7.0)


def request(request_id: str, *users: bytes) -> Any:
    made = fake_pb_utils.request(user_id=np.array([[u] for u in users], object))
    made.request_id = lambda: request_id
    return made


def answer(*rows: list[bytes]) -> dict[str, Any]:
    items = np.array(rows, object)
    return {
        "item_id": items,
        "score": np.arange(items.size, dtype=np.float32).reshape(items.shape),
        "history": np.ones((len(rows), 3), np.int32),
        "degraded": np.zeros((len(rows), 1), np.bool_),
    }


def shown(share: float, asked: list[tuple[Any, Any]], send: Any = None) -> tuple[list[Any], int]:
    """What was sent to ``record``, and how many requests were dropped."""
    sent: list[Any] = []
    dropped: list[int] = []
    impressions = chain.Impressions(
        share, 7, send or (lambda tensors: sent.append(tensors) or True), dropped.append
    )
    impressions.batch([r for r, _ in asked], [a for _, a in asked])
    impressions.close()
    return sent, sum(dropped)


def test_each_item_with_its_place_and_score_is_logged_and_joins_no_state() -> None:
    asked = [(request("r", b"u", b"v"), answer([b"a", b"b"], [b"c", b""]))]
    (tensors,), dropped = shown(1.0, asked)
    rules = RECORD.Rules({"impression": 0.0}, 256, 300, 7.0)
    events = rules.events(tensors, NOW)
    assert [(e.user_id, e.item_id, e.position, e.score, e.event_id) for e in events] == [
        ("u", "a", 1, 0.0, "r-7-0-1"),
        ("u", "b", 2, 1.0, "r-7-0-2"),
        ("v", "c", 1, 2.0, "r-7-1-1"),
    ]
    assert {(e.event, e.request_id, e.release, e.counts) for e in events} == {
        ("impression", "r", 7, False)
    }
    store = Memory()
    limited = RECORD.RecordService(store, rules, RECORD.Rate(1), lambda: NOW)
    (done,) = limited.answer([tensors])  # more than the rate, which is for what users do
    assert done.accepted.tolist() == [[1]] * 3
    assert RECORD.row_of(store.events[1].line())["score"] == 1.0
    assert dropped == 0


def test_what_a_release_explores_is_logged_with_its_chance() -> None:
    more = {"propensity": np.array([[0.9, 1e-7, 0]]), "explored": np.array([[False, True, False]])}
    asked = [(request("r", b"u"), answer([b"a", b"b", b""]) | more)]
    (tensors,), _ = shown(1.0, asked)
    events = RULES.events(tensors, NOW)
    rows = [RECORD.row_of(e.line()) for e in events]
    assert [(r["propensity"], r["explored"]) for r in rows] == [(0.9, False), (1e-7, True)]
    tensors["propensity"][0] = 1.5
    with pytest.raises(RECORD.BadRequest, match="propensity: expected numbers from 0 to 1"):
        RULES.events(tensors, NOW)


def test_answers_to_users_of_whom_nothing_is_known_say_so() -> None:
    rows = answer([b"a"], [b"b"], [b"c"])
    rows["history"][1:, -1] = 0
    rows["degraded"][2] = True  # something is known of this one, and could not be read
    (tensors,), _ = shown(1.0, [(request("r", b"u", b"v", b"w"), rows)])
    events = RULES.events(tensors, NOW)
    assert [RECORD.row_of(e.line())["cold_start"] for e in events] == [False, True, False]


def test_a_line_of_a_server_that_did_not_explore() -> None:
    (tensors,), _ = shown(1.0, [(request("r", b"u"), answer([b"a"]))])
    (event,) = RULES.events(tensors, NOW)
    old = event.line().replace(b",null,null,false]", b"]")
    assert len(json.loads(old)) == 10
    row = RECORD.row_of(old)
    assert row == RECORD.row_of(event.line()) | {"cold_start": None}
    assert (row["score"], row["propensity"], row["explored"]) == (0.0, None, None)


def test_a_share_of_the_requests_chosen_by_id() -> None:
    asked = [(request(f"{n:016x}", b"u"), answer([b"a"])) for n in range(200)]
    some, _ = shown(0.25, asked)
    assert 20 < len(some) < 80
    again, _ = shown(0.25, asked)
    assert [t["event_id"].item() for t in again] == [t["event_id"].item() for t in some]
    assert shown(0.0, asked) == ([], 0)


def test_what_has_no_id_or_failed_is_left_out() -> None:
    asked = [(request("", b"u"), answer([b"a"])), (request("r", b"u"), ValueError("no"))]
    assert shown(1.0, asked) == ([], 0)


def test_many_rows_are_sent_in_parts() -> None:
    users = [b"u%d" % n for n in range(30)]
    asked = [(request("r", *users), answer(*([b"a%d" % m for m in range(10)] for _ in users)))]
    sent, _ = shown(1.0, asked)
    assert [len(t["user_id"]) for t in sent] == [128, 128, 44]
    ids = [i for t in sent for i in t["event_id"].ravel().tolist()]
    assert len(set(ids)) == 300


def test_what_cannot_be_stored_or_has_to_wait_is_counted() -> None:
    asked = [(request(f"r{n}", b"u"), answer([b"a"])) for n in range(3)]
    assert shown(1.0, asked, lambda tensors: False)[1] == 3
    held = threading.Event()
    dropped: list[int] = []
    slow = chain.Impressions(1.0, 1, lambda tensors: held.wait(10), dropped.append)
    many = [(request(f"r{n}", b"u"), answer([b"a"])) for n in range(300)]
    slow.batch([r for r, _ in many], [a for _, a in many])
    assert 300 - 256 - 1 <= sum(dropped) <= 300 - 256
    held.set()
    slow.close()


@pytest.mark.parametrize("failed", [True, False])
def test_the_model_record_is_asked(*, failed: bool) -> None:
    asked: list[Any] = []

    def inference_request(**given: Any) -> Any:
        asked.append(given)
        return SimpleNamespace(exec=lambda: SimpleNamespace(has_error=lambda: failed))

    backend = SimpleNamespace(InferenceRequest=inference_request, Tensor=fake_pb_utils.Tensor)
    assert chain.stored(backend, {"user_id": np.array([[b"u"]], object)}) is not failed
    assert asked[0]["model_name"] == "record"
    assert [t.name() for t in asked[0]["inputs"]] == ["user_id"]


def test_scores_that_are_no_numbers() -> None:
    (tensors,), _ = shown(1.0, [(request("r", b"u"), answer([b"a"]))])
    tensors["score"][:] = np.nan
    with pytest.raises(RECORD.BadRequest, match="score: expected finite numbers"):
        RECORD.Rules({"impression": 0.0}, 256, 300, 7.0).events(tensors, NOW)
