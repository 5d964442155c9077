"""The report as files: every pass with its reason, escaped, without the network."""

import re
from dataclasses import replace
from html import unescape

import pytest

from builders.compress.report import write_report
from tests.unit.compress.found_chain import (
    EXPORT,
    KEPT,
    NOT_AT_ALL,
    TEST,
    TOO_MUCH,
    candidate,
    chain,
)

ABOUT = {"name": "large <script>alert(2)</script>", "data": "a & b"}


@pytest.fixture
def report(tmp_path):
    """What is written for a chain: HTML without plotly's own source, and Markdown."""

    def written(*passes, **options):
        path = write_report(chain(*passes), ABOUT, tmp_path, **options)
        html = path.read_text(encoding="utf-8")
        head, script = html.split("<script>", 1)
        source, rest = script.split("</script></head>", 1)
        assert len(source) > 1_000_000
        return head + rest, (tmp_path / "compression.md").read_text(encoding="utf-8")

    return written


def test_every_pass_stands_there_with_its_reason(report):
    for text in map(unescape, report(KEPT, TOO_MUCH, NOT_AT_ALL)):
        for p in (KEPT, TOO_MUCH, NOT_AT_ALL):
            assert (p.reason or p.summary).replace("|", "") in text.replace(r"\|", "").replace(
                "|", ""
            )
        assert "20.0 times faster" in text


def test_no_text_becomes_markup(report):
    named = replace(KEPT, summary="<script>alert(3)</script>")
    trial = candidate("<script>alert(4)</script>", 3.0, 0.0)
    html, markdown = report(named, TOO_MUCH, front=[trial])
    assert "<script>alert" not in html
    assert "<script>" not in markdown
    assert "&lt;script&gt;alert(3)" in html


def test_nothing_is_fetched_from_elsewhere(report):
    html, _ = report(KEPT)
    assert not re.search(r"""(src|href)=["'](https?:)?//""", html)


def test_markdown_has_one_row_for_each_pass(report):
    _, markdown = report(KEPT, TOO_MUCH, NOT_AT_ALL)
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    heading, rule, *rows = table
    columns = heading.count("|")
    assert [row.split("|")[1].strip() for row in rows] == [
        "uncompressed",
        "distil 4x256",
        "prune_heads 0.5",
        "factorise",
    ]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in [rule, *rows]} == {columns}


def test_layers_and_trials_are_plotted(report):
    plain, _ = report(KEPT)
    layered, _ = report(KEPT, TOO_MUCH)
    searched, _ = report(KEPT, TOO_MUCH, front=[candidate("trial 7", 9.0, 0.0)])
    assert [text.count("Plotly.newPlot") for text in (plain, layered, searched)] == [1, 2, 2]
    assert "trial 7" in searched
    assert "Pareto front" not in layered


def test_the_test_split_and_the_gpu_graphs_stand_there_when_they_are_known(report):
    without, _ = report(KEPT)
    assert "gpu profile" not in without
    for text in map(unescape, report(KEPT, test=TEST, export=EXPORT)):
        assert "NDCG@10 0.1900 after 0.2000: -5.00%" in text
        for cell in ("tensorrt_rtx 1.7.1", "engine not executed", "no engine", "not held"):
            assert cell in text
