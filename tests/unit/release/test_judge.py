from __future__ import annotations

import json
from contextlib import ExitStack
from math import inf
from pathlib import Path

import pytest

from ensembles.errors import LoadTestError, RequestError
from loadtest.release.objective import ReleaseObjective, enough, judge
from loadtest.release.probe import Probe, asking, held_out, probe
from loadtest.release.window import Window
from serving.client import Request

OBJECTIVE = ReleaseObjective(
    p99_ms=25, error_share=0.01, degraded_share=0.1, ndcg_loss=0.01, minimum_count=100
)


def missed(window: Window, probe: Probe | None = None) -> list[str]:
    return [v.name for v in judge(OBJECTIVE, window, probe) if v.missed]


def window(requests: int, slow: int = 0, **counted: int) -> Window:
    below = ((0.025, requests - slow), (0.05, requests), (inf, requests))
    return Window(requests, below=below, **counted)


@pytest.mark.parametrize(
    ("seen", "names"),
    [
        (window(1000), []),
        (window(1000, failures=10, rows=1000, degraded=100), []),
        (window(1000, failures=11), ["error share"]),
        (window(1000, slow=10), []),
        (window(1000, slow=11), ["p99 ms"]),
        (window(1000, rows=1000, degraded=101), ["degraded share"]),
        (Window(1000, below=((0.1, 900), (inf, 1000))), ["p99 ms"]),
        # Before there are enough, what further requests cannot make good again.
        (window(10, failures=1), []),
        (window(10, failures=2), ["error share"]),
        (window(10, slow=1), []),
        (window(10, slow=2), ["p99 ms"]),
        (window(10, rows=10, degraded=10), []),
        (window(10, rows=11, degraded=11), ["degraded share"]),
        (window(0), []),
    ],
)
def test_conditions(seen: Window, names: list[str]) -> None:
    assert missed(seen) == names


@pytest.mark.parametrize(
    ("candidate", "noise", "names"),
    [(0.5, 0.1, []), (0.4, 0.0, []), (0.38, 0.01, ["NDCG@10 lost"]), (0.38, 0.05, [])],
)
def test_only_a_loss_beyond_the_noise_counts(
    candidate: float, noise: float, names: list[str]
) -> None:
    assert missed(window(1000), Probe(100, 0.405, candidate, noise)) == names


def test_it_says_how_much() -> None:
    error, p99, _ = judge(OBJECTIVE, window(1000, slow=20, failures=20), None)
    assert (error.wanted, error.got, error.missed) == ("<= 0.01", "0.02", "20 of 1,000")
    assert (p99.got, p99.missed) == ("37.5", "20 of 1,000 were slower")


def test_too_few_are_not_judged() -> None:
    assert not enough(OBJECTIVE, window(99))
    assert enough(OBJECTIVE, window(100))


A, B, C = map(Request, "abc")


def test_both_releases_are_asked_with_each_query() -> None:
    asked = []

    def ask(request: Request, number: int, role: str) -> tuple[str, ...]:
        asked.append((request, number, role))
        if (request, role) == (C, "candidate"):
            raise RequestError("no answer")
        return ("x", "y") if role == "current" else ("y", "x")

    *before, found = probe([(A, "x"), (B, "y"), (C, "x")], ask, 60)
    second = 0.6309297535714575  # 1 / log2(3)
    assert before == [None] * 3
    assert found
    assert found.users == 3
    assert found.current == pytest.approx((2 + second) / 3)
    assert found.candidate == pytest.approx((1 + second) / 3)
    assert found.loss == pytest.approx(1 / 3)
    assert found.noise > 0
    assert asked[:2] == [(A, 0, "current"), (A, 0, "candidate")]


def test_nobody_is_held_out() -> None:
    assert list(probe([], lambda *_: (), 60)) == []


def test_when_the_time_is_over_two_users_are_enough() -> None:
    *_, found = probe([(A, "x")] * 50, lambda *_: ("x",), -1)
    assert found
    assert (found.users, found.loss, found.noise) == (2, 0, 0)


def _write(repository: Path, release: int, name: str, about: object) -> None:
    path = repository / "recommend" / str(release) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about))


def test_held_out_events_of_both_releases_are_the_same_each_time(tmp_path: Path) -> None:
    for release, names in ((1, "ab"), (2, "bc")):
        items = [f"{name}{n}" for name in names for n in range(25)]
        _write(tmp_path, release, "queries.json", {"recent": [[i] for i in items], "items": items})
    queries = held_out(tmp_path, (1, 2), 60)
    assert queries == held_out(tmp_path, (1, 2), 60)
    assert len(set(queries)) == 60
    assert all(request.recent == (item,) for request, item in queries)
    assert {request.user_id for request, _ in queries} == {"millirank-probe"}
    assert {item[0] for _, item in queries} == set("abc")
    assert len(held_out(tmp_path, (1, 2), 1000)) == 75  # what both hold out is asked once


def test_releases_without_queries_are_asked_by_user(tmp_path: Path) -> None:
    _write(tmp_path, 2, "holdout.json", {"users": ["u", "v"], "items": ["i", "j"]})
    assert sorted(held_out(tmp_path, [2], 9), key=str) == [(Request("u"), "i"), (Request("v"), "j")]
    _write(tmp_path, 2, "holdout.json", {"users": ["u"]})
    assert held_out(tmp_path, [2], 10) == []
    _write(tmp_path, 2, "holdout.json", [])
    with pytest.raises(LoadTestError, match=r"holdout\.json should hold held-out users"):
        held_out(tmp_path, [2], 10)


def test_a_server_that_is_not_there_has_no_answer() -> None:
    with ExitStack() as stack:
        ask = asking(stack, ["127.0.0.1:1"])
        with pytest.raises(RequestError):
            ask(A, 0, "current")
