"""The request log of the joined model: which requests get a line, and what never stands in it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ensembles.step_code import load_step
from tests.triton.tiny import SOURCE
from tests.unit.model_repository import fake_pb_utils

chain = load_step(SOURCE / "features_ranker_policy" / "1")
ABOUT = {"source": "chain", "release": 3}
GOOD = {"item_id": np.array([[b"a"]])}
DEGRADED = {**GOOD, "degraded": np.array([[True]])}


class BadRequest(Exception):
    """Named as that of the features step."""


class Log:
    def __init__(self, every: int, key: str = "k") -> None:
        self.lines: list[dict[str, Any]] = []
        self.log = chain.RequestLog(every, key, ABOUT, self._take)

    def _take(self, line: bytes) -> None:
        assert line.endswith(b"\n")
        assert line.startswith(b'{"event": "request"')
        assert len(line) < 4096
        self.lines.append(json.loads(line))

    def batch(self, users: Sequence[bytes], answer: Any, request_id: str = "id") -> None:
        """Requests of one row each, all with the same outcome."""
        found = SimpleNamespace(
            tensors={"top_k": np.array([[7]]), "candidate": np.array([[4, 5, 0]])},
            cold_starts=1,
            unknown_items=2,
        )
        failed = isinstance(answer, Exception)
        passed = [chain.Passed("features", 10_000_000, 12_500_000, range(len(users)))]
        self.log.found([answer if failed else found] * len(users))
        self.log.batch([asked(u, request_id) for u in users], [answer] * len(users), passed)


def asked(user: bytes, request_id: str = "id") -> Any:
    request = fake_pb_utils.request(user_id=np.array([[user]], object))
    request.request_id = lambda: request_id
    return request


def test_a_line_tells_what_became_of_a_request() -> None:
    seen = Log(1)
    seen.batch([b"user-1"], GOOD)
    (line,) = seen.lines
    assert line.pop("time").endswith("Z")
    (hashed,) = line.pop("users")
    assert len(hashed) == 16
    assert line == {
        "event": "request",
        "level": "info",
        "source": "chain",
        "release": 3,
        "message": "request answered",
        "request_id": "id",
        "rows": 1,
        "k": 7,
        "candidates": 2,
        "cold_starts": 1,
        "unknown_items": 2,
        "degraded": False,
        "error": "",
        "stage_ms": {"features": 2.5},
        "left_out": 0,
    }


def test_every_third_request() -> None:
    seen = Log(3)
    for _ in range(4):
        seen.batch([b"user-1", b"user-2"], GOOD)
    assert len(seen.lines) == 2


def test_hashes_depend_on_the_user_and_the_key() -> None:
    one, other = Log(1, "a"), Log(1, "b")
    for log in (one, other):
        log.batch([b"user-1", b"user-2", b"user-1"], GOOD)
    first, second, third = (line["users"] for line in one.lines)
    assert first == third != second
    assert other.lines[0]["users"] != first


@pytest.mark.parametrize("answer", [BadRequest("k: got 0"), DEGRADED])
def test_what_failed_or_was_degraded_is_logged_but_not_without_end(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, clock = Log(10_000), [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    seen.batch([b"user-1"] * 30, answer)
    assert len(seen.lines) == 10
    clock[0] += 1
    seen.batch([b"user-1"], answer)
    assert [line["left_out"] for line in seen.lines] == [0] * 10 + [20]
    assert {line["level"] for line in seen.lines} == {"warning"}
    seen.batch([b"user-1"] * 30, GOOD)
    assert len(seen.lines) == 11


def test_errors_keep_ids_out() -> None:
    seen = Log(1)
    seen.batch([b"user-1"], BadRequest("candidates: none is known"))
    try:
        raise KeyError("user-1")
    except KeyError as e:
        seen.batch([b"user-1"], e)
    seen.batch([b"user-1"], GOOD, request_id="made-of-user-1")
    seen.batch([b"user-1"], ValueError("user-1"))
    assert "user-1" not in json.dumps(seen.lines)
    sentence, where, _, bare = (line["error"] for line in seen.lines)
    assert (sentence, bare) == ("candidates: none is known", "ValueError")
    assert where.startswith("KeyError at test_request_log.py:")
    assert seen.lines[2]["request_id"] == ""
    assert "k" not in seen.lines[0]


def test_requests_of_the_warm_up_are_left_out() -> None:
    seen = Log(1)
    seen.batch([b"warm-up"], GOOD, request_id="")
    assert seen.lines == []
    seen.batch([b"warm-up"], GOOD)
    assert len(seen.lines) == 1


def test_a_request_without_users_and_with_many() -> None:
    seen = Log(1)
    seen.log.found([BadRequest("no user_id")])
    request = fake_pb_utils.request(user_id=np.array([[b"u"]] * 100, object))
    request.request_id = lambda: "x" * 5000
    nobody = SimpleNamespace(inputs=list, request_id=lambda: "")
    seen.log.batch([nobody], [BadRequest("no user_id")], [])
    seen.log.found([BadRequest("y" * 5000)])
    seen.log.batch([request], [BadRequest("y" * 5000)], [])
    assert [(line["rows"], len(line["users"])) for line in seen.lines] == [(0, 0), (100, 8)]


def test_it_is_asked_for_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MILLIRANK_LOG_EVERY", raising=False)
    assert chain.RequestLog.from_environment(ABOUT) is None
    monkeypatch.setenv("MILLIRANK_LOG_EVERY", "1")
    log = chain.RequestLog.from_environment(ABOUT)
    log.found([ValueError()])
    log.batch([asked(b"user-1")], [ValueError()], [])
    assert json.loads(capfd.readouterr().err)["error"] == "ValueError"
