from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console, RenderableType

from loadtest.bottleneck import bottleneck
from loadtest.budget import Budget
from loadtest.latency import SingleRequests
from loadtest.percentiles import Latency
from loadtest.smoke import LoadResult, ProtocolLoad
from loadtest.step_statistics import ChainTimes, StepTimes
from loadtest.tables import budget_table, latency_table, load_table, steps_table
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
LOAD = ProtocolLoad(
    "recommend", Protocol.GRPC, 2.0, LATENCY, {"HTTP 503": 2}, 0.5, Budget(8.0, 1.0, CHAIN)
)
VISUAL_CHAIN = ChainTimes(
    StepTimes("recommend_visual", 100, 7.5, 0, 0, 7, 0),
    (
        StepTimes("preprocess", 100, 0.5, 0.0, 0.0, 0.5, 0.0),
        StepTimes("image_encoder", 100, 1.5, 0.0, 0.25, 1.0, 0.25),
        *CHAIN.steps,
    ),
)
VISUAL = replace(
    LOAD, ensemble="recommend_visual", protocol=Protocol.HTTP, budget=Budget(8, 1, VISUAL_CHAIN)
)
SINGLE = SingleRequests("recommend_visual", Protocol.HTTP, LATENCY, VISUAL_CHAIN)


def text(table: RenderableType, width: int = 160) -> str:
    console = Console(width=width, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def test_load() -> None:
    shown = text(load_table(LoadResult(8, 42, (LOAD, VISUAL))))
    assert "recommend grpc" in shown
    assert "recommend_visual http" in shown
    for figure in ("617", "7.25", "11.50", "19.75", "1,234", "2 x HTTP 503", "8 users"):
        assert figure in shown
    assert "(limit)" not in shown


def test_errors_are_shown_as_they_are() -> None:
    refused = replace(LOAD, errors={"expected [rows, bytes], got [bold]": 7})
    shown = text(load_table(LoadResult(8, 42, (refused,))), width=80)
    assert "recommend grpc: 7 x expected [rows, bytes], got [bold]" in shown


def test_a_generator_at_its_limit_is_named() -> None:
    busy = replace(LOAD, generator_share=0.97)
    result = LoadResult(8, 42, (replace(LOAD, errors={}), replace(busy, errors={})))
    assert not result.good
    shown = text(load_table(result))
    assert "(limit)" in shown
    # The sentence of a scenario's verdict, too.
    assert bottleneck(0.97) in shown
    assert "recommend grpc: the load process was busy for 97% of a core" in shown


def test_a_load_is_good_when_the_server_answered_all_and_set_the_figures() -> None:
    good = replace(LOAD, errors={})
    assert LoadResult(8, 42, (good, good)).good
    assert not LoadResult(8, 42, (good, LOAD)).good


def test_latency() -> None:
    shown = text(latency_table([SINGLE]))
    for figure in ("recommend_visual http", "1,234", "8.00", "7.25", "11.50", "19.75"):
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
    assert_row(text(budget_table(LOAD)), row, figures)


def assert_row(table: str, row: str, figures: list[str]) -> None:
    (line,) = [line for line in table.splitlines() if line.strip().startswith(row)]
    cells = re.split(r" {2,}", line.strip())
    for figure in figures:
        assert figure in cells


def test_pictures_are_in_x() -> None:
    table = text(budget_table(VISUAL))
    assert table.startswith("recommend_visual http: P = f(U, X, M)")
    lines = [line.strip() for line in table.splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith("X "))
    assert [line.split()[0] for line in lines[at + 1 : at + 5]] == [
        *("preprocess", "image_encoder", "features"),
        "M",
    ]
    assert_row(table, "X ", ["3.50", "44%"])


@pytest.mark.parametrize(
    ("row", "figures"),
    [
        ("preprocess", ["0.50", "6%"]),
        ("image_encoder", ["1.50", "19%"]),
        ("ranker", ["2.50", "31%"]),
        ("client, network, between steps", ["1.50", "19%"]),
        ("client's clock", ["8.00", "100%"]),
    ],
)
def test_steps_of_one_request(row: str, figures: list[str]) -> None:
    table = text(steps_table(SINGLE))
    assert "recommend_visual http" in table
    assert_row(table, row, figures)


def test_tables_fit_into_80_columns() -> None:
    busy = replace(VISUAL, generator_share=0.97, errors={"a sentence " * 20: 12_345})
    tables = [budget_table(VISUAL), load_table(LoadResult(8, 42, (LOAD, busy)))]
    for table in [*tables, latency_table([SINGLE]), steps_table(SINGLE)]:
        assert "…" not in text(table, width=80)
