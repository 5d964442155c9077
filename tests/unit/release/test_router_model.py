"""The router's ``model.py``, with ensembles that answer as they are told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.triton.scraped import wait_until
from tests.triton.tiny import SOURCE
from tests.unit.model_repository import fake_pb_utils
from tests.unit.model_repository.test_models import load

CURRENT, CANDIDATE = "recommend_current", "recommend_candidate"
FINAL = 1


class Ensembles:
    """What each ensemble answers; an exception is an error."""

    def __init__(self) -> None:
        self.items: dict[str, list[bytes] | Exception] = {CURRENT: [b"a"], CANDIDATE: [b"b"]}
        self.asked: list[str] = []
        self.ten_answered = asyncio.Event()
        """The candidate waits for it."""
        self.ten_answered.set()

    def request(self, model_name: str, inputs: list[Any], **_: Any) -> Any:
        async def async_exec() -> Any:
            if model_name == CANDIDATE:
                await self.ten_answered.wait()
            if self.asked.count(CURRENT) == 10:
                self.ten_answered.set()
            return self.answer(model_name, len(inputs[0].as_numpy()))

        return SimpleNamespace(
            async_exec=async_exec,
            exec=lambda: self.answer(model_name, len(inputs[0].as_numpy())),
        )

    def answer(self, model: str, rows: int) -> Any:
        self.asked.append(model)
        items = self.items[model]
        failed = isinstance(items, Exception)
        made = fake_pb_utils.Tensor("item_id", np.array([items] * rows, object))
        return SimpleNamespace(
            has_error=lambda: failed,
            error=lambda: SimpleNamespace(message=lambda: str(items)),
            output_tensors=lambda: [made],
        )


@pytest.fixture
def ensembles(monkeypatch: pytest.MonkeyPatch) -> Ensembles:
    found = Ensembles()
    fake = fake_pb_utils.make([])
    vars(fake).update(InferenceRequest=found.request, TRITONSERVER_RESPONSE_COMPLETE_FINAL=FINAL)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", fake)
    return found


def routed(
    requests: list[Any], until: Callable[[], bool] = lambda: True, **shares: str
) -> list[Any]:
    """Answers of a router in the order of requests, after its end: what it counted is out."""
    answers: dict[int, Any] = {}
    for place, request in enumerate(requests):
        send = partial(_keep, answers, place)
        request.get_response_sender = partial(SimpleNamespace, send=send)
    route = {"ensemble": "recommend", "current": "1", "candidate": "2"}
    outputs = [{"name": "item_id"}, {"name": "release"}]
    parameters = {**route, "canary": "0", "mirror": "0", **shares}
    model = load(SOURCE / "router" / "1", parameters, output=outputs)
    try:
        model.execute(requests)
        wait_until(lambda: len(answers) == len(requests) and until())
        return [answers[place] for place in range(len(requests))]
    finally:
        model.finalize()


def _keep(answers: dict[int, Any], place: int, answer: Any, flags: int) -> None:
    assert flags == FINAL
    assert place not in answers
    answers[place], answer.arrived = answer, len(answers)


def user(*names: bytes) -> Any:
    asked = fake_pb_utils.request(user_id=np.array([[name] for name in names], object))
    asked.request_id = lambda: "id"
    return asked


def counted(name: str) -> float:
    return fake_pb_utils.counted(f"millirank_{name}", release="2")


def requests_of(release: str) -> float:
    return fake_pb_utils.counted("millirank_step_seconds_count", release=release, step="routed")


def test_each_user_is_answered_by_one_release(ensembles: Ensembles) -> None:
    users = [b"%d" % n for n in range(60)]
    (answer,) = routed([user(*users)], canary="0.5")
    found = answer.arrays()
    assert set(found["release"].ravel().tolist()) == {1, 2}
    of = {1: b"a", 2: b"b"}
    assert found["item_id"].ravel().tolist() == [of[r] for r in found["release"].ravel().tolist()]
    assert sorted(ensembles.asked) == [CANDIDATE, CURRENT]
    assert (requests_of("1"), requests_of("2"), counted("routed_failures_total")) == (1, 1, 0)


def test_where_the_candidate_fails_the_current_release_answers(ensembles: Ensembles) -> None:
    ensembles.items[CANDIDATE] = RuntimeError("broken")
    (answer,) = routed([user(b"x")], canary="1")
    assert answer.arrays()["item_id"].tolist() == [[b"a"]]
    assert answer.arrays()["release"].tolist() == [[1]]
    assert counted("routed_failures_total") == 1


def test_a_wrong_request_is_nobodys_failure(ensembles: Ensembles) -> None:
    wrong = ValueError("in ensemble 'recommend_current', k: expected 1 to 100, got 0")
    ensembles.items = dict.fromkeys(ensembles.items, wrong)
    for canary in ("0", "1"):
        answer, _ = routed([user(b"x"), user(b"y")], canary=canary)
        assert (answer.error.message, answer.error.code) == (str(wrong), "INVALID_ARG")
        assert counted("routed_failures_total") == 0


@pytest.mark.parametrize(
    ("items", "name"),
    [([b"a"], "same"), ([b"b"], "other"), (RuntimeError("broken"), "failures")],
)
def test_the_candidate_is_asked_too_and_nothing_of_it_returned(
    ensembles: Ensembles, items: Any, name: str
) -> None:
    ensembles.items[CANDIDATE] = items
    (answer,) = routed([user(b"x")], lambda: CANDIDATE in ensembles.asked, mirror="1")
    assert answer.arrays()["item_id"].tolist() == [[b"a"]]
    names = ("mirrored_same_total", "mirrored_other_total", "routed_failures_total")
    assert {n: counted(n) for n in names} == {n: float(f"_{name}_" in n) for n in names}
    assert requests_of("2") == 1


def test_a_request_without_users_is_refused_by_the_current_release(ensembles: Ensembles) -> None:
    ensembles.items[CURRENT] = ValueError("no user")
    nameless = fake_pb_utils.request(k=np.ones((1, 1), np.int32))
    nameless.request_id = lambda: ""
    refused, good = routed([nameless, user(b"x")], canary="1", mirror="1")
    assert (refused.error.message, refused.error.code) == ("no user", "INTERNAL")
    assert good.arrays()["item_id"].tolist() == [[b"b"]]


def test_nobody_waits_for_another_ones_slow_candidate(ensembles: Ensembles) -> None:
    ensembles.ten_answered.clear()
    users = [b"%d" % n for n in range(30)]
    answers = routed([user(name) for name in users], canary="0.5")
    arrived = sorted(answers, key=lambda answer: answer.arrived)
    by = [int(answer.arrays()["release"][0, 0]) for answer in arrived]
    assert by[:10] == [1] * 10
    assert set(by) == {1, 2}


def test_a_request_ends_whatever_happens(ensembles: Ensembles) -> None:
    del ensembles.items[CURRENT]
    (answer,) = routed([user(b"x")])
    assert (answer.error.message, answer.error.code) == (f"KeyError('{CURRENT}')", "INTERNAL")
