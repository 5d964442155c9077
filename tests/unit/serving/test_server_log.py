"""The lines of a log that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.server_log import explain

HEAD = "E1124 08:30:00.123456 4711 model_lifecycle.cc:641]"
START = """
E1124 08:30:00.1 4711 server.cc:241] "CudaDriverHelper has not been initialized."
I1124 08:30:00.1 4711 server.cc:1] "fine"
+-------+
| Model |
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def test_cause_once_without_trace_and_echo(log: Path) -> None:
    cause = "failed to load 'ranker' version 1: Internal: ValueError: no model"
    trace = "\\n\\nAt:\\n  /x/model.py(16): initialize\\n"
    lines = [
        f'{HEAD} "ERROR: Failed to create instance: ValueError: no model{trace}"',
        f'{HEAD} "{cause}{trace}"',
        f'{HEAD} "{cause}{trace}"',
        f"{HEAD} \"Invalid argument: ensemble 'recommend' depends on 'ranker' which has no;\"",
    ]
    log.write_text(START + "\n".join(lines))
    assert explain(log) == f"  {cause}"


def test_echo_where_there_is_nothing_else(log: Path) -> None:
    log.write_text(f"{HEAD} ERROR: Failed to create instance: x")
    assert "Failed to create instance: x" in explain(log)


def test_word_of_the_guard(log: Path) -> None:
    log.write_text(START + "guard: the server was ended by SIGSEGV\n")
    assert explain(log) == "  the server was ended by SIGSEGV"


def test_last_lines_where_nobody_complains(log: Path) -> None:
    log.write_text(START + "\n".join(f"line {n}" for n in range(100)))
    assert explain(log).splitlines() == [f"  line {n}" for n in range(80, 100)]


def test_what_another_server_wrote_is_left_out(log: Path) -> None:
    before = f"{HEAD} old\n"
    log.write_text(f"{before}{HEAD} new\n")
    assert explain(log, len(before)) == "  new"


def test_empty_and_missing(log: Path) -> None:
    assert "cannot be read" in explain(log)
    log.write_text("")
    assert explain(log) == "  (the server wrote nothing)"
