from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from ensembles.recommend import RECOMMEND
from loadtest.no_op import measure as measuring
from loadtest.no_op import printed
from loadtest.no_op.measure import Speed, allowed
from loadtest.no_op.printed import conclusion, speed_table
from loadtest.no_op.repository import write_no_op
from loadtest.record import RunRecord
from loadtest.scenario import Scenario
from loadtest.traffic import Protocol
from millirank import cli
from serving.ports import Ports
from serving.repository import current_release

GRPC = Speed("open", Protocol.GRPC, 4000.0, 0.5, "")
HTTP = Speed("open", Protocol.HTTP, 2000.0, 0.5, "")
CLOSED = Speed("closed", Protocol.GRPC, 9000.0, 0.95, "the load process was busy")


def test_cpu_and_ceiling() -> None:
    assert GRPC.cpu_us == pytest.approx(125)
    assert GRPC.ceiling == pytest.approx(8000)
    # 90 % of a core at 250 us a request, the dearer protocol; the closed loop asks for nothing.
    assert allowed([GRPC, HTTP, CLOSED]) == pytest.approx(3600)


def test_the_table_says_what_was_the_limit() -> None:
    console = Console(width=80, file=StringIO(), record=True)
    console.print(speed_table([GRPC, CLOSED]))
    shown = console.export_text()
    assert "…" not in shown
    rows = [line for line in shown.splitlines() if "loop, grpc" in line]
    assert rows[0].rstrip().endswith("server")
    assert "125" in rows[0]
    assert rows[1].rstrip().endswith("this process")


def test_what_follows() -> None:
    assert "at most 3,600 requests/s" in conclusion([GRPC, HTTP, CLOSED])
    assert "1/CPU" in conclusion([GRPC, HTTP, CLOSED])
    bound = Speed("open", Protocol.GRPC, 4000.0, 0.5, "late")
    assert "1/CPU" not in conclusion([bound])


def test_the_repository_is_one_that_can_be_served(tmp_path: Path) -> None:
    folder = write_no_op(tmp_path)
    assert current_release(folder) == 1
    assert (folder / RECOMMEND.name / "config.pbtxt").is_file()


@pytest.mark.parametrize(("kept_up_to", "reached"), [(10_000, 4500), (3000, 2500), (100, 500)])
def test_the_highest_rate_whose_schedule_is_kept(
    kept_up_to: float, reached: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def play(name: str, scenario: Scenario, *_: Any, **__: Any) -> RunRecord:
        rate = scenario.phases[0].rate or 0.0
        asked.append(rate)
        late = 0.0 if rate <= kept_up_to else 50.0
        count = round(rate)
        # 200 us of processor time for each request.
        return RunRecord(
            *("x", "open", 1, 1.0, (0.0,) * count, (1.0,) * count, late, {}, rate * 200e-6),
            quality=None,
            memory_mb={},
            budgets={},
        )

    monkeypatch.setattr(measuring, "play", play)
    found = measuring._open(Ports(), Path(), Protocol.GRPC, 1.0, 1)
    assert found.requests_per_second == pytest.approx(reached)
    assert asked[0] == measuring.FIRST_RATE
    assert found.ceiling == pytest.approx(5000)


def test_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(printed, "measure", lambda *_, **__: [GRPC, HTTP, CLOSED])
    result = CliRunner().invoke(cli, ["loadtest", str(tmp_path), "--generator"])
    assert result.exit_code == 0
    assert "at most 3,600 requests/s" in result.output
