"""The chain in the terminal."""

import io

import pytest
from rich.console import Console

from builders.compress.result_table import result_table
from tests.unit.compress.found_chain import KEPT, NOT_AT_ALL, TOO_MUCH, chain


def printed(result, width=80):
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(result_table(result))
    return console.export_text()


def test_every_pass_stands_in_80_columns_with_its_figures():
    text = printed(chain(KEPT, TOO_MUCH, NOT_AT_ALL))
    table = text[: text.index("The ranker answers")]
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert lines["uncompressed"].split()[1:] == ["26.0", "105.0", "5200", "48.0", "790.0", ".2000"]
    assert lines["distil"].split()[1:] == (
        ["4x256", "6.50", "26.0", "650.0", "4.80", "76.8", ".1992", "-0.40", "-1.4", "+0.6", "yes"]
    )
    assert lines["prune_heads"].endswith(" no ")
    assert all(len(line) <= 80 and "…" not in line for line in text.splitlines())


@pytest.mark.parametrize("refused", [TOO_MUCH, NOT_AT_ALL])
def test_the_reason_of_a_pass_that_is_left_out_stands_below(refused):
    assert refused.reason in " ".join(printed(chain(KEPT, refused)).split())


def test_the_headline_says_how_much_faster_and_at_what_price():
    text = " ".join(printed(chain(KEPT, TOO_MUCH)).split())
    assert "4.80 ms instead of 96.00 ms: 20.0 times faster than eager PyTorch" in text
    assert "10.0 times faster than uncompressed in ONNX Runtime" in text
    assert "26.0 MB instead of 105.0 MB" in text
    assert "-0.40% (95 % interval over users -1.40% to +0.60%)" in text
    assert "1 of 2 passes were kept" in text


def test_a_chain_without_passes_is_printed():
    assert "0 of 0 passes were kept" in " ".join(printed(chain()).split())
