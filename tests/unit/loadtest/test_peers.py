"""Peers without any peer installed: the wire, the comparison and the rules of the bench."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import LoadTestError, RequestError, ServerError
from loadtest.peers import bench, environment
from loadtest.peers.ask import ask, check_equal
from loadtest.peers.bench import Bench, Settings, rotated
from loadtest.peers.chain import Chain
from loadtest.peers.measure import Load, Point
from loadtest.peers.peer import IN_PROCESS, PEERS, TRITON, Peer, chosen
from loadtest.peers.process import running, stop_tree, tree_seconds
from loadtest.peers.report import as_json, ratios, spread, tables
from loadtest.peers.wire import (
    Form,
    read_binary,
    read_json,
    read_reply,
    request_body,
    write_binary,
    write_json,
)
from loadtest.percentiles import Latency
from serving.http_wire import LENGTH_HEADER
from serving.messages import Recommendation, Request

IDS = st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), max_size=3)


def point(rate: float, errors: int = 0) -> Point:
    return Point(1.0, Latency(int(rate), 1.0, 1.0, 2.0, 3.0), errors, 0.5, 0.1)


@given(st.text("abcé", min_size=1), st.integers(1, 100), IDS, IDS)
def test_a_request_reads_the_same_in_every_form(
    user: str, k: int, candidates: list[str], recent: list[str]
) -> None:
    request = Request(user, k, candidates, recent)
    body, headers = request_body(Form.BINARY, request)
    found = read_binary(body, headers[LENGTH_HEADER])
    in_json = read_json(json.loads(request_body(Form.JSON, request)[0]))
    (in_list,) = json.loads(request_body(Form.JSON_LIST, request)[0])
    for tensors in (found, in_json, read_json(in_list)):
        wanted = {"user_id": [user], "candidates": candidates, "recent": recent}
        for name, ids in wanted.items():
            sent = tensors[name][0].tolist() if name in tensors else []
            assert sent == [i.encode() for i in ids]
        assert tensors["k"].tolist() == [[k]]


@given(st.lists(st.tuples(st.text("abcé", min_size=1), st.floats(-9, 9, width=32)), max_size=5))
def test_an_answer_reads_the_same_in_every_form(pairs: list[tuple[str, float]]) -> None:
    ids = np.array([[item.encode() for item, _ in pairs]], np.object_)
    answer = {"item_id": ids, "score": np.array([[s for _, s in pairs]], np.float32)}
    body, headers = write_binary(answer)
    for form, reply, length in [
        (Form.BINARY, body, headers[LENGTH_HEADER]),
        (Form.JSON, json.dumps(write_json(answer)).encode(), None),
        (Form.JSON_LIST, json.dumps([write_json(answer)]).encode(), None),
    ]:
        found = read_reply(form, reply, length)
        assert found.items == tuple(item for item, _ in pairs)
        assert found.scores == tuple(score for _, score in pairs)


@pytest.mark.parametrize("reply", [b"", b"[]", b"{}", b'{"outputs": [{}]}'])
def test_another_reply_is_refused(reply: bytes) -> None:
    with pytest.raises(RequestError, match="expected an inference reply"):
        read_reply(Form.JSON, reply, None)


def test_a_request_that_the_features_step_refuses_is_an_error() -> None:
    features = SimpleNamespace(answer=lambda requests: [ValueError("k is too large")])
    with pytest.raises(RequestError, match="k is too large"):
        Chain(features, None, None, None).answer([{}])


def test_only_equal_answers_pass() -> None:
    ours = {"u": Recommendation(("a", "b"), (2.0, 1.0), 1, 0.0)}
    check_equal({"u": Recommendation(("a", "b"), (2.00001, 1.0), 7, 9.0)}, ours)
    for items, scores in [(("b", "a"), (2.0, 1.0)), (("a", "b"), (2.0, 1.1))]:
        with pytest.raises(LoadTestError, match="it answers user 'u' with"):
            check_equal({"u": Recommendation(items, scores, 1, 0.0)}, ours)


def test_nobody_at_the_port() -> None:
    with pytest.raises(RequestError, match="no answer"):
        ask(1, Form.BINARY, Request("u"))


@pytest.mark.parametrize("form", [Form.JSON, Form.BINARY])
def test_loads_and_points_survive_json(form: Form) -> None:
    load = Load(1, 2, form, "r", 4, 1.0, 0.5, 42)
    assert Load.read(json.dumps(load.__dict__)) == load
    text = json.dumps({**point(9).__dict__, "latency": point(9).latency.__dict__})
    assert Point.read(text) == point(9)


def test_figures_of_a_point() -> None:
    assert (point(100).requests_per_second, point(100).server_ms) == (100, 5)


@given(st.lists(st.text(), min_size=1, unique=True), st.integers(0, 20))
def test_every_name_takes_every_place(names: list[str], turn: int) -> None:
    assert sorted(rotated(names, turn)) == sorted(names)
    assert {rotated(names, turn + i)[0] for i in range(len(names))} == set(names)


def test_peers_are_chosen_by_name() -> None:
    assert chosen(()) == PEERS
    assert [p.name for p in chosen(("mlserver",))] == ["mlserver"]
    with pytest.raises(LoadTestError, match="Did you mean 'fastapi'"):
        chosen(("fastap",))


@pytest.mark.parametrize("wrong", [{"clients": ()}, {"clients": (0,)}, {"rounds": 0}])
def test_settings_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(LoadTestError, match="1 or more"):
        Settings(**wrong)


def test_every_peer_pins_what_it_needs() -> None:
    folder = Path(environment.__file__).with_name("requirements")
    assert {f.stem for f in folder.glob("*.txt")} == {p.name for p in PEERS}
    for file in folder.glob("*.txt"):
        assert all("==" in line for line in file.read_text().splitlines())


def test_an_environment_that_cannot_be_made_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "first\nno such package")
    monkeypatch.setattr(environment.subprocess, "run", lambda *a, **k: failed)
    with pytest.raises(LoadTestError, match="fastapi cannot be made: no such package"):
        environment.python_of("fastapi", tmp_path)


def test_an_environment_that_takes_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("pip", 1)

    monkeypatch.setattr(environment.subprocess, "run", slow)
    with pytest.raises(LoadTestError, match="was not there after"):
        environment.python_of("fastapi", tmp_path)


def test_an_environment_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def made(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        (tmp_path / "fastapi").mkdir(exist_ok=True)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(environment.subprocess, "run", made)
    python = environment.python_of("fastapi", tmp_path)
    assert environment.python_of("fastapi", tmp_path) == python
    assert len(commands) == 2


def test_a_peer_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    peer = Peer("broken", ("-c", "raise SystemExit('no such module')"), Form.BINARY)
    with (
        pytest.raises(ServerError, match="broken ended with 1 .*no such module"),
        running(peer, Path(sys.executable), tmp_path, tmp_path / "log"),
    ):
        pass


def test_a_tree_is_stopped_with_its_children() -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert tree_seconds(process.pid) > 0
        stop_tree(process)
    # A zombie has ended; whoever adopts orphans has only not collected it yet.
    left = [p for p in psutil.process_iter() if p.pid == child]
    assert all(p.status() == psutil.STATUS_ZOMBIE for p in left)


def test_a_peer_that_fails_is_left_out_and_the_others_go_on(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = SimpleNamespace(ports=SimpleNamespace(http=1))
    monkeypatch.setattr(bench, "temporary_server", lambda _: _Context(server))
    monkeypatch.setattr(bench, "answers", lambda *_: {})
    asked: list[str] = []

    def visit(repository: Path, peer: Peer | None, name: str, *_: Any) -> dict[int, Point]:
        asked.append(name)
        if name == "litserve":
            raise ServerError("it does not start")
        return {1: point(10 if name == TRITON else 5)}

    monkeypatch.setattr(bench, "_visit", visit)
    settings = Settings(clients=(1,), rounds=2)
    found = bench.run(release, PEERS[:2], settings, tmp_path / "out", lambda _: None)
    assert found.left_out == {"litserve": "it does not start"}
    assert asked.count("litserve") == 1
    assert asked.count("fastapi") == asked.count(TRITON) == asked.count(IN_PROCESS) == 2
    assert json.loads(as_json(found, settings))["left_out"] == found.left_out


class _Context:
    def __init__(self, held: Any) -> None:
        self.held = held

    def __enter__(self) -> Any:
        return self.held

    def __exit__(self, *_: object) -> None:
        pass


def test_a_point_with_errors_is_not_compared() -> None:
    with pytest.raises(LoadTestError, match="3 of 13 had no answer"):
        bench._without_errors(point(10, errors=3))


def test_ratios_are_of_the_same_round() -> None:
    slow, fast = [point(10), point(40)], [point(20), point(20)]
    found = ratios(slow, fast, lambda p: p.requests_per_second)
    assert found == [0.5, 2.0]
    assert spread(found) == "1.25 (0.50-2.00)"
    assert spread([1.0]) == "1.00"


def test_one_table_for_each_number_of_clients() -> None:
    measured = Bench(
        {(TRITON, 4): [point(10)], ("fastapi", 4): [point(5)], (TRITON, 1): [point(1)]}
    )
    one, four = tables(measured)
    assert (one.title, four.title) == ("1 client", "4 clients")
    assert list(four.columns[0].cells) == [TRITON, "fastapi"]
    assert list(four.columns[2].cells) == ["1.00", "0.50"]
