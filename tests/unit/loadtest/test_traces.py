from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import LoadTestError
from loadtest.traces import Trace, read_traces, records

OBJECTS = st.lists(
    st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=4)
    | st.fixed_dictionaries({"id": st.integers(), "timestamps": st.just([{"name": "A", "ns": 1}])}),
    max_size=8,
)


def cut(text: str, places: list[int]) -> list[str]:
    bounds = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in itertools.pairwise(bounds)]


@given(OBJECTS, st.lists(st.integers(0, 10_000), max_size=6), st.booleans())
def test_pieces_do_not_matter(written: list[Any], places: list[int], indent: bool) -> None:
    text = json.dumps(written, indent=2 if indent else None)
    assert list(records(cut(text, places))) == written


@given(OBJECTS, st.integers(0, 10_000))
def test_what_is_cut_off_at_the_end_is_left_out(written: list[Any], length: int) -> None:
    text = json.dumps(written)
    found = list(records([text[: length % (len(text) + 1)]]))
    assert found == written[: len(found)]
    assert len(found) >= len(written) - text[length % (len(text) + 1) :].count("{") - 1


@pytest.mark.parametrize("text", ["nothing", "[1, 2]", '"text"', "[{'id': 3}" + " " * 20_000])
def test_something_else(text: str) -> None:
    with pytest.raises(LoadTestError, match="expected Triton's records"):
        list(records([text]))


@pytest.mark.parametrize("text", ['[{"name": 3}]', '[{"id": 3, "timestamps": [3]}]'])
def test_records_of_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "traces.0").write_text(text)
    with pytest.raises(LoadTestError, match="expected Triton's records"):
        read_traces([tmp_path / "traces.0"])


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match="No such file"):
        read_traces([tmp_path / "traces"])


def test_a_trace_is_put_together_from_several_files(tmp_path: Path) -> None:
    one, two = tmp_path / "traces.0", tmp_path / "traces.1"
    one.write_text(
        '[{"id":2,"model_name":"ranker","model_version":1,"request_id":"7","parent_id":1},'
        '{"id":2,"timestamps":[{"name":"REQUEST_START","ns":5}]}]'
    )
    two.write_text(
        '[{"id":1,"model_name":"recommend","model_version":1,"request_id":"7"},'
        '{"id":2,"timestamps":[{"name":"REQUEST_END","ns":9}]},{"id":1,"timest'
    )
    assert read_traces([one, two]) == {
        2: Trace("ranker", "7", 1, {"REQUEST_START": 5, "REQUEST_END": 9}),
        1: Trace("recommend", "7", None, {}),
    }
