"""What is wrong on purpose is found where it is: a slow step, a wrong answer, a starved load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from loadtest.budget import Part
from loadtest.objective import Objective, judge
from loadtest.record import RunRecord
from loadtest.run import play
from loadtest.scenario import Phase, Scenario
from loadtest.spent import Spent
from loadtest.tracing import Tracing
from loadtest.traffic import DRAWN
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton.held_out import hold_out_first_answers
from tests.triton.tiny import KNOBS, Tiny, make_release

ASKED_BEFORE = len(range(0, DRAWN, DRAWN // 300))  # as loadtest.player has it
SLOW = """
import itertools, time
_score, _turns = Scorer.score, itertools.count(1)
def _slowly(self, tensors):
    turn = next(_turns)
    if turn > {after} and turn % {every} == 0:
        time.sleep({seconds})
    return _score(self, tensors)
Scorer.score = _slowly
"""
WRONG = """
import itertools
_answer, _turns = answer, itertools.count(1)
def answer(requests, **more):
    answers, turn = _answer(requests, **more), next(_turns)
    if turn > {after} and turn % 3:
        answers = [{{**one, "item_id": one["item_id"][:, ::-1].copy()}} for one in answers]
    return answers
"""


@pytest.fixture
def tiny(request: pytest.FixtureRequest, tmp_path: Path) -> Tiny:
    """A release whose first answer is the held-out item, with one instance of each step."""
    knobs = replace(KNOBS, instances=1)
    tiny = make_release(
        tmp_path, release=3, knobs=knobs, fused=getattr(request, "param", "fused") == "fused"
    )
    hold_out_first_answers(tiny, 3)
    return tiny


def spoil(tiny: Tiny, step: str, file: str, code: str) -> None:
    """Add code to a step of this release; the joined model has a link to the same file."""
    with (tiny.repository / step / "3" / f"{step}_step" / file).open("a") as opened:
        opened.write(code)


def load(tiny: Tiny, rate: float) -> RunRecord:
    scenario = Scenario(
        about="a test",
        phases=(Phase(seconds=3, rate=rate),),
        arrivals="constant",
        grpc=0.5,
        warm_up_seconds=0.3,
    )
    folder = tiny.repository.parent / "traces"
    folder.mkdir()
    tracing = Tracing(str(folder), every=1)
    options = ServerOptions(ports=Ports(0, 0, 0), flags=tracing.flags, stage_log=tracing.stage_log)
    with TritonServer(tiny.repository, options) as server:
        ports, token = server.ports, server.token
        return play("test", scenario, ports, tiny.repository, tracing=tracing, token=token)


def work_ms(spent: Spent, name: str) -> float:
    return sum(step.work_ms for step in spent.steps if step.name == name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tiny", "every", "rate", "slow_ms"),
    # What is rare must be longer than what a busy machine does to a request now and then; few
    # requests queue behind it, which took nearly as long as it did.
    [("fused", 20, 25, 250), ("apart", 1, 15, 50)],
    indirect=["tiny"],
)
def test_a_slow_step_is_named(tiny: Tiny, every: int, rate: float, slow_ms: float) -> None:
    after, seconds = ASKED_BEFORE - 10, slow_ms / 1000
    spoil(tiny, "ranker", "scorer.py", SLOW.format(after=after, every=every, seconds=seconds))
    run = load(tiny, rate)
    found, chain = run.traced, run.budgets["recommend"].chain
    assert found is not None
    assert found.count == len(run.latency_ms) == 3 * rate
    assert max(chain.steps, key=lambda step: step.busy_ms).name == "ranker"
    assert max(found.tail.steps, key=lambda step: step.work_ms).name == "ranker"
    assert max(work_ms(spent, "ranker") for spent in found.slowest) >= slow_ms
    median = work_ms(found.median, "ranker")
    if every == 1:
        assert median >= slow_ms
        assert run.budgets["recommend"].part_ms(Part.M) >= slow_ms
    else:
        assert median < slow_ms / 2  # it is in the tail and nowhere else
    for spent in (found.median, found.tail, *found.slowest):
        assert sum(spent.pieces().values()) == pytest.approx(spent.client_ms)
        assert min(spent.pieces().values()) >= 0
    assert RunRecord.from_json(run.to_json()) == run


@pytest.mark.slow
def test_a_wrong_answer_under_load_fails_the_quality(tiny: Tiny) -> None:
    spoil(tiny, "policy", "service.py", WRONG.format(after=ASKED_BEFORE + 10))
    run = load(tiny, rate=100)
    assert run.quality is not None
    assert run.quality.ndcg_unloaded == 1
    assert run.quality.ndcg_loaded < 0.9
    objective = Objective(ndcg_difference=0.001, same_answers=0.99)
    missed = {verdict.name for verdict in judge(objective, run) if verdict.missed}
    assert {"NDCG@10 under load, difference", "answers as without load"} <= missed


@contextmanager
def starved_load(stages: Path) -> Iterator[None]:
    """Once requests before the load are answered, the load process gets a third of a core."""
    over = threading.Event()

    def starve() -> None:
        while not over.wait(0.05):
            begun = stages.is_file() and len(stages.read_bytes().splitlines()) > ASKED_BEFORE
            for process in psutil.Process().children() if begun else ():
                with suppress(psutil.NoSuchProcess):  # it has just ended
                    if "loadtest.open_loop" in process.cmdline():
                        process.suspend()
                        over.wait(0.1)
                        process.resume()

    thread = threading.Thread(target=starve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_a_starved_load_process_is_reported(tiny: Tiny) -> None:
    with starved_load(tiny.repository.parent / "traces" / "stages"):
        run = load(tiny, rate=100)
    assert "did not keep its schedule" in run.bottleneck
    assert [v.name for v in judge(Objective(), run) if v.missed] == ["load process"]
    found = run.traced
    assert found is not None
    pieces = found.tail.pieces()
    outside = pieces.pop("getting to the steps") + pieces.pop("getting back to the client")
    assert outside > max(pieces.values())  # and no step is blamed
