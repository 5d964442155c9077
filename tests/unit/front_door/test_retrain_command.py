"""Exit codes of ``millirank retrain``, and what is handed on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import millirank
from builders.retrain import run
from builders.retrain.run import Outcome

CONFIG = 'name = "x"\n[data]\nformat = "csv"\n'


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.PUBLISHED, 0), (Outcome.NOTHING_TO_DO, 0), (Outcome.NOT_BETTER, 3)],
)
def test_cron_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcome: Outcome, code: int
) -> None:
    asked: dict[str, Any] = {}

    def retrain(task: Any, events: Path, command: str, log: object, **options: bool) -> Outcome:
        asked.update(options, task=task, events=events)
        return outcome

    monkeypatch.setattr(run, "retrain", retrain)
    (tmp_path / "x.toml").write_text(CONFIG)
    command = ["retrain", str(tmp_path / "x.toml"), "--events", "e", "--data", "d", "--full"]
    done = CliRunner().invoke(millirank.cli, command, catch_exceptions=False)
    assert done.exit_code == code
    assert (asked["full"], asked["current"], asked["events"]) == (True, False, Path("e"))
    assert asked["task"].settings.data.path == "d"
