"""A scenario against the real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.record import RunRecord
from loadtest.run import play
from loadtest.scenario import Phase, Scenario
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton.tiny import hold_out, make_release

MIXED = Scenario(
    about="a test",
    phases=(Phase(seconds=2, rate=50), Phase(seconds=1, users=2)),
    grpc=0.5,
    pictures=0.2,
    returning=0.5,
    session=5,
    recent=True,
    warm_up_seconds=0.5,
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    tiny = make_release(tmp_path_factory.mktemp("visual"), release=3, visual=True, fused=True)
    hold_out(tiny, 3)
    return _play(tiny.repository)


def _play(repository: Path) -> RunRecord:
    with TritonServer(repository, ServerOptions(ports=Ports(0, 0, 0))) as server:
        return play("mixed", MIXED, server.ports, repository, server_pid=server.pid)


def test_everything_is_answered_as_without_load(played: RunRecord) -> None:
    assert played.errors == {}
    assert played.loop == "open and closed"
    assert sum(due < 2 for due in played.due_s) == pytest.approx(100, abs=40)
    assert sum(due >= 2 for due in played.due_s) > 20
    assert played.quality is not None
    assert played.quality.scored > 0
    assert played.quality.same > 0.99
    assert played.quality.ndcg_loaded == pytest.approx(played.quality.ndcg_unloaded, abs=0.01)


def test_budgets_and_memory_are_there(played: RunRecord) -> None:
    assert set(played.budgets) == {"recommend", "recommend_visual"}
    assert len(played.memory_mb) >= 4  # the server, and a process a step
    assert min(before for before, _ in played.memory_mb.values()) > 0
    assert RunRecord.from_json(played.to_json()) == played
