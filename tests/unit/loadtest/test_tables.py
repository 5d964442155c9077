from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from loadtest.budget import Budget
from loadtest.percentiles import Latency
from loadtest.smoke import LoadResult, ProtocolLoad
from loadtest.step_statistics import ChainTimes, StepTimes
from loadtest.tables import budget_table, latency_table, load_table
from loadtest.traffic import Protocol

CHAIN = ChainTimes(
    StepTimes("recommend", 100, 5.5, 0, 0, 5, 0),
    (
        StepTimes("features", 100, 2.0, 0.5, 0.25, 1.0, 0.25),
        StepTimes("ranker", 100, 3.0, 0.5, 0.0, 2.5, 0.0),
        StepTimes("policy", 100, 0.5, 0.0, 0.0, 0.5, 0.0),
    ),
)
LATENCY = Latency(1234, 8.0, 7.25, 11.5, 19.75)
LOAD = ProtocolLoad(Protocol.GRPC, 2.0, LATENCY, {"HTTP 503": 2}, 0.5, Budget(8.0, 1.0, CHAIN))


def text(table: RenderableType, width: int = 160) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def test_load() -> None:
    shown = text(load_table(LoadResult(8, 42, (LOAD,))))
    for figure in ("617", "7.25", "11.50", "19.75", "1,234", "2 x HTTP 503", "8 users"):
        assert figure in shown
    assert "(limit)" not in shown


def test_a_generator_at_its_limit_is_named() -> None:
    busy = replace(LOAD, generator_share=0.97)
    assert "(limit)" in text(load_table(LoadResult(8, 42, (busy,))))


def test_latency() -> None:
    shown = text(latency_table({Protocol.HTTP: LATENCY}))
    for figure in ("http", "1,234", "8.00", "7.25", "11.50", "19.75"):
        assert figure in shown


@pytest.mark.parametrize(
    ("row", "figures"),
    [
        ("U request handling", ["2.50", "31%", "6.75", "5 ms 4%"]),
        ("round trip", ["1.00", "12%"]),
        ("queues and scheduling", ["1.00"]),
        ("X preprocessing", ["1.50", "19%", "7.25", "10 ms 9%"]),
        ("M ranker", ["2.50", "31%", "6.75", "100 ms 87%"]),
        ("unexplained", ["1.50", "19%"]),
        ("P client's clock", ["8.00", "100%", "115 ms 100%"]),
    ],
)
def test_budget(row: str, figures: list[str]) -> None:
    (line,) = [line for line in text(budget_table(LOAD.budget)).splitlines() if row in line]
    cells = re.split(r" {2,}", line.strip())
    for figure in figures:
        assert figure in cells


def test_tables_fit_into_80_columns() -> None:
    busy = replace(LOAD, generator_share=0.97)
    tables = [budget_table(LOAD.budget), load_table(LoadResult(8, 42, (LOAD, busy)))]
    for table in [*tables, latency_table({Protocol.HTTP: LATENCY})]:
        assert "…" not in text(table, width=80)
