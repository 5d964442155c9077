from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from ensembles.errors import LoadTestError
from loadtest import capacity_printed
from loadtest.capacity import Capacity, Step, at_any_rate
from loadtest.capacity_printed import curve_table, step_line, summary
from loadtest.capacity_search import CONFIRMATIONS, LOWEST, RESOLUTION, Search
from loadtest.knee import knee
from loadtest.objective import Objective
from loadtest.rates import lasting, mean_rate, scaled
from loadtest.record import RunRecord
from loadtest.scenario import Phase, Scenario
from tests.unit.loadtest.test_objective import DEFAULT, GOOD

RAMP = Scenario(
    about="", phases=(Phase(seconds=10, rate=50, rate_to=150), Phase(seconds=10, rate=300))
)


def server(limit: float, *, generator: float = 1e9) -> Callable[[Scenario], RunRecord]:
    """Answers in 5 ms up to ``limit`` requests/s, above in 500 ms; no noise."""

    def play(scenario: Scenario) -> RunRecord:
        rate = mean_rate(scenario)
        count = min(1000, round(rate * scenario.seconds))
        ms = 5.0 if rate <= min(limit, generator) else 500.0
        return replace(
            GOOD,
            seconds=count / rate,
            due_s=(0.0,) * count,
            latency_ms=(ms,) * count,
            late_p99_ms=1.0 if rate <= generator else 99.0,
        )

    return play


def find(play: Callable[[Scenario], RunRecord], objective: Objective = DEFAULT) -> Capacity:
    steps: list[Step] = []
    found = Search("ramp", RAMP, objective, play, steps.append).run()
    assert tuple(steps) == found.steps
    return found


@settings(max_examples=20, deadline=None)
@given(st.floats(mean_rate(RAMP) * LOWEST, 20_000))
def test_the_limit_is_found_within_5_percent(limit: float) -> None:
    found = find(server(limit))
    assert found.limit is not None
    assert limit / RESOLUTION <= found.limit <= limit
    assert found.at_least == ""
    assert found.steps[-1].full
    assert all(step.met == (step.offered <= limit) for step in found.steps)


@settings(max_examples=15, deadline=None)
@given(st.floats(20, 10_000), st.floats(1, 2))
def test_a_faster_server_never_has_a_lower_limit(limit: float, faster: float) -> None:
    slow, fast = find(server(limit)).limit, find(server(limit * faster * RESOLUTION)).limit
    assert slow is not None
    assert fast is not None
    assert fast >= slow


def test_a_load_process_in_the_way_gives_a_lower_bound() -> None:
    found = find(server(5000, generator=1000))
    assert found.limit == pytest.approx(1000, rel=0.05)
    assert "did not keep its schedule" in found.at_least
    assert "the limit is at least 9" in summary(found)


def test_a_rate_that_nothing_bounds_is_a_lower_bound_too() -> None:
    found = find(server(1e12))
    assert found.at_least == "nothing higher was tried"


def test_nothing_meets_the_objective() -> None:
    found = find(server(0.0))
    assert (found.limit, found.reached, found.knee) == (None, 0.0, None)
    assert summary(found) == "no rate met the objective. Knee, where p95 turns up: not reached."
    assert min(step.offered for step in found.steps) == mean_rate(RAMP) * LOWEST


def test_no_answer_at_all() -> None:
    found = find(lambda s: replace(GOOD, due_s=(), latency_ms=(), errors={"503": 9}))
    assert found.limit is None
    assert "no answer" not in step_line(found.steps[0])
    assert "error share by 1" in step_line(found.steps[0])


def test_one_hiccup_is_no_limit() -> None:
    calm, hiccups = server(2000), iter([False, False, True])

    def play(scenario: Scenario) -> RunRecord:
        run = calm(scenario)
        return replace(run, latency_ms=(99.0,) * 1000) if next(hiccups, False) else run

    limit = find(play).limit
    assert limit is not None
    assert limit > 2000 / RESOLUTION


def test_what_holds_for_some_seconds_only_is_no_limit() -> None:
    calm = server(2000)

    def leaking(least: float) -> Callable[[Scenario], RunRecord]:
        def play(scenario: Scenario) -> RunRecord:
            full = scenario.seconds == RAMP.seconds
            return server(least)(scenario) if full else calm(scenario)

        return play

    found = find(leaking(1900))
    assert found.limit is not None
    assert found.limit <= 1900
    assert [s.full for s in found.steps].count(True) > 1
    never = find(leaking(0.0))
    assert never.limit is None
    assert [s.full for s in never.steps].count(True) == CONFIRMATIONS
    assert "for some seconds 1,9" in summary(never)


def test_requests_per_second_mean_answered_at_other_rates() -> None:
    asked = at_any_rate(Objective(requests_per_second=200, memory_growth=0.01))
    assert asked == Objective(error_share=0.0)
    assert at_any_rate(Objective(error_share=0.1)).error_share == 0.1
    with pytest.raises(LoadTestError, match="has none of them"):
        at_any_rate(Objective(ndcg_difference=0.1))


def test_scaled_and_lasting() -> None:
    twice = scaled(RAMP, 2.0)
    assert [phase.rates for phase in twice.phases] == [(100, 300), (600, 600)]
    assert mean_rate(twice) == 2 * mean_rate(RAMP) == 400
    assert lasting(twice, 8.0, 100).seconds == pytest.approx(8)
    assert lasting(twice, 8.0, 4000).seconds == pytest.approx(11)
    assert [p.seconds for p in lasting(twice, 8.0, 100).phases] == pytest.approx([4, 4])
    with pytest.raises(LoadTestError, match="give its phases a rate"):
        mean_rate(Scenario(about="", phases=(Phase(seconds=1, users=2),)))


def test_the_knee() -> None:
    rates = [100.0, 200, 400, 800, 1600, 2400, 3200]
    hockey = [3.0, 3.1, 3.0, 3.4, 4, 60, 400]
    assert knee(rates, hockey) == 1600
    assert knee(rates, [3.0, 30.0, 3.0, 3.4, 4, 60, 400]) == 1600  # one spoilt point
    assert knee([*rates[::-1], 100.0], [*hockey[::-1], 3.0]) == 1600
    assert knee(rates, [3.0, 3, 3.1, 3, 3.2, 3.1, 3.3]) is None
    assert knee([1.0, 2, 3], [1.0, 1, 9]) is None


def test_json_there_and_back() -> None:
    found = find(server(2000))
    assert Capacity.from_json(found.to_json()) == found
    with pytest.raises(LoadTestError, match="expected a capacity"):
        Capacity.from_json("[]")


def test_the_table_marks_knee_and_limit() -> None:
    found = find(server(2000))
    console = Console(width=140)
    with console.capture() as shown:
        console.print(curve_table(found))
    assert shown.get().count("limit") == 1
    assert shown.get().count("knee") >= 1
    assert "missed" in shown.get()


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from millirank import cli

    asked = {}

    def print_limit(repository: object, name: str, **rest: object) -> bool:
        asked["name"] = name
        return False

    monkeypatch.setattr("loadtest.capacity_printed.print_limit", print_limit)
    assert CliRunner().invoke(cli, ["loadtest", "r", "--find-limit"]).exit_code == 1
    assert asked == {"name": "steady"}


def test_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play = server(3000)
    monkeypatch.setattr(capacity_printed, "temporary_server", nullcontext)
    monkeypatch.setattr(
        capacity_printed, "play_supervised", lambda s, r, name, scenario, *rest: play(scenario)
    )
    file = tmp_path / "capacity.json"
    assert capacity_printed.print_limit(tmp_path, "steady", objective=None, seed=1, json_file=file)
    found = Capacity.from_json(file.read_text())
    shown = capsys.readouterr().out
    assert shown.count(" requests/s for some seconds: ") == len(found.steps) - 1
    assert f"the limit is {found.limit:,.0f} requests/s. Knee" in shown
