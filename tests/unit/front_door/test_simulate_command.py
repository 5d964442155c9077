"""``millirank simulate``: its errors, and what is handed on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import millirank

CONFIG = 'name = "x"\n[data]\nformat = "csv"\npath = "log.csv"\n'


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rounds", "0"], "error: --rounds is 1 or more; got Plan(rounds=0"),
        (["--event", "clik"], "error: --event 'clik' is none of the event types"),
        (["--out", "full", "--explore", "0"], "error: full holds files that are no simulation's"),
        (["--cut", "items"], "'items' is not one of 'users', 'time'"),
    ],
)
def test_errors_on_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.toml").write_text(CONFIG)
    Path("full").mkdir()
    Path("full", "letter").write_text("dear")
    monkeypatch.setattr(sys, "argv", ["millirank", "simulate", "x.toml", *options])
    with pytest.raises(SystemExit) as stopped:
        millirank.main()
    assert stopped.value.code != 0
    assert said in capsys.readouterr().err
    assert not Path("build").exists()
