"""Stages in one model: order, errors of their own, and times that add up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ensembles.step_code import load_step
from tests.triton.tiny import SOURCE

chain = load_step(SOURCE / "features_ranker_policy" / "1")


def halve(numbers: Sequence[int]) -> list[int | Exception]:
    return [ValueError(f"{n} is odd") if n % 2 else n // 2 for n in numbers]


def test_what_fails_in_a_stage_goes_no_further_and_is_counted_there() -> None:
    requests, spent = Counter[str](), Counter[str]()

    def report(stage: str, nanoseconds: int, count: int) -> None:
        requests[stage] += count
        spent[stage] += nanoseconds

    stages = chain.Stages(
        {"first": halve, "second": halve, "third": halve}, report, chain.BatchLog("")
    )
    one, two, three, eight = stages.answer([1, 2, 12, 8])
    assert [str(e) for e in (one, two, three)] == ["1 is odd", "1 is odd", "3 is odd"]
    assert eight == 1
    assert [str(e) for e in stages.answer([3, 5])] == ["3 is odd", "5 is odd"]
    assert requests == {"first": 6, "second": 3, "third": 2}
    assert min(spent.values()) > 0


def test_an_exception_takes_the_place_of_the_tensors() -> None:
    error = ValueError("no")
    assert chain.merged([{"a": 1}, {"a": 2}], [3, error], "b") == [{"a": 1, "b": 3}, error]


def test_moments_between_stages_are_written_where_a_load_test_asks_for_them(tmp_path: Path) -> None:
    file = tmp_path / "stages"
    stages = {"first": halve, "second": halve}
    logged = chain.Stages(stages, lambda *_: None, chain.BatchLog(str(file)))
    start = time.perf_counter_ns()
    for batch in ([4, 8], [1], [8]):
        logged.answer(batch)
    rows = [[int(moment) for moment in line.split()] for line in file.read_text().splitlines()]
    assert [len(row) for row in rows] == [3, 2, 3]  # the second batch failed in its first stage
    moments = [start, *(moment for row in rows for moment in row), time.perf_counter_ns()]
    assert moments == sorted(moments)
