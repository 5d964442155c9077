"""Lines of a server, as text for people and as JSON for machines."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensembles.errors import ServerError
from serving import log_format
from serving.log_format import LogFormat, Output, parsed

REQUEST = '{"event": "request", "time": "t", "level": "info", "source": "m", "message": "x"}'
NOISE = [
    'E1128 15:03:31.1 7 server.cc:241] "CudaDriverHelper has not been initialized."',
    "Error: Failed to initialize NVML",
    "Signal (15) received.",
]
DECORATION = ["", "  ", "+-----+", "| Model | Status |", "I1128 15:03:31.1 7 server.cc:604] "]


def written(form: LogFormat, *lines: str) -> list[str]:
    out: list[str] = []
    output = Output(form, out.append)
    for line in lines:
        output.pass_on(line)
    return out


def told(line: str) -> dict[str, Any]:
    found = parsed(line)
    assert found is not None
    return found


def test_a_line_of_triton() -> None:
    now = datetime.now(UTC)
    line = f'W{now:%m%d %H:%M:%S.%f} 4711 model.cc:6] "say \\"hi\\"\\n\\tthere"'
    assert told(line) == {
        "time": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "level": "warning",
        "source": "tritonserver",
        "message": 'say "hi"\n\tthere',
        "file": "model.cc:6",
    }
    assert told(line.replace('"say', '"unfinished " say'))["message"].startswith("unfinished")


@pytest.mark.parametrize(("letter", "level"), [("I", "info"), ("E", "error"), ("F", "error")])
def test_levels(letter: str, level: str) -> None:
    assert told(f"{letter}1128 15:03:31.1 7 a.cc:1] words")["level"] == level


@pytest.mark.parametrize(
    ("now", "text", "year"),
    [
        ("2027-01-01T00:00:01+00:00", "1231 23:59:59.5", 2026),
        ("2026-12-31T23:59:59+00:00", "0101 00:00:00.5", 2027),
        ("2026-07-01T12:00:00+00:00", "0701 11:00:00.5", 2026),
        ("2027-03-01T00:00:00+00:00", "0229 11:00:00.5", 2027),  # no such day
    ],
)
def test_the_year_is_the_nearest(
    monkeypatch: pytest.MonkeyPatch, now: str, text: str, year: int
) -> None:
    monkeypatch.setattr(log_format, "_now", lambda: datetime.fromisoformat(now))
    moment = datetime.fromisoformat(told(f"I{text} 1 a.cc:1] x")["time"])
    assert moment.year == year
    assert abs(moment - datetime.fromisoformat(now)) < timedelta(days=1)


def test_other_lines() -> None:
    assert told("guard: the server was ended by SIGSEGV") | {"time": ""} == {
        "time": "",
        "level": "error",
        "source": "guard",
        "message": "the server was ended by SIGSEGV",
    }
    assert told("/x/y.py:3: UserWarning: no")["level"] == "warning"
    assert told(REQUEST) == json.loads(REQUEST)
    cut = told(REQUEST[:40])
    assert (cut["level"], cut["message"]) == ("warning", REQUEST[:40])
    assert [parsed(line) for line in DECORATION] == [None] * len(DECORATION)
    assert {told(line)["level"] for line in NOISE} == {"info"}


def test_as_text_a_person_sees_requests_and_what_is_wrong() -> None:
    info, wrong = "I1128 15:03:31.1 7 a.cc:1] fine", "E1128 15:03:31.1 7 a.cc:1] broken"
    assert written("text", info, *NOISE, *DECORATION, wrong, REQUEST) == [wrong, REQUEST]


@given(st.text())
def test_as_json_any_line_is_one_object(line: str) -> None:
    line = "".join(line.splitlines())
    for text in written("json", line, f"I1128 15:03:31.1 7 a.cc:1] {line}", REQUEST[:24] + line):
        assert "\n" not in text
        assert {"time", "level", "source", "message"} <= json.loads(text).keys()


def test_own_words_and_last_words() -> None:
    out: list[str] = []
    text, machine = Output("text", out.append), Output("json", out.append)
    text.say("ready")
    assert out.pop() == "ready"
    machine.say("ready")
    assert json.loads(out.pop())["source"] == "millirank"
    with pytest.raises(ServerError), text.with_errors():
        raise ServerError("no port")
    for error, words in ((ServerError("no port"), "no port"), (KeyError("k"), "Traceback")):
        with pytest.raises(click.exceptions.Exit) as ended, machine.with_errors():
            raise error
        last = json.loads(out.pop())
        assert (ended.value.exit_code, last["level"]) == (1, "error")
        assert last["message"].startswith(words)
    assert out == []
