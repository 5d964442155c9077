"""A repository, exported events, and builds that are made by hand."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builders.built import Built
from builders.publish.release import publish
from builders.publish.trained_on import NAME, TrainedOn
from builders.retrain import run
from builders.retrain.run import JOURNAL, Outcome, retrain
from builders.retrain.task import Task
from builders.settings import Settings
from tests.triton.tiny import CANDIDATES, HISTORY
from tests.unit.retrain.exported import Event, export, settings_of
from tests.unit.retrain.tiny_log import CUT

SHAPE: dict[str, Any] = {
    "features": {"history": HISTORY},
    "retrieval": {"candidates": CANDIDATES},
    "serving": {"fuse_steps": False},
    "feedback": {"tolerance": 0.5, "window": 0.8},
}


@dataclass(frozen=True)
class Made:
    """What all tests share: the log, the release of it, what its users took, and a bad release."""

    folder: Path
    good: Path
    bad: Path
    events: list[Event]


class Bench:
    """A repository with release 1, exported events, and builds that are made by hand."""

    def __init__(self, made: Made, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made, self.folder = made, folder
        self.settings = settings_of(made.folder / "log.csv", **SHAPE)
        self.task = Task(self.settings, folder / "build" / "repository")
        self.exported = export(folder / "events", made.events)
        self.dataset = made.folder / "dataset"
        self.new, self.key = made.good, "served_check-1"
        self.asked: list[Settings] = []
        self.lines: list[str] = []
        self.publish_first({NAME: TrainedOn(newest=CUT, events=300).to_json()})
        monkeypatch.setattr(run, "build_checked", self.build)

    def publish_first(self, about: dict[str, Any]) -> None:
        about = {**about, "settings": self.settings.model_dump(mode="json")}
        publish(self.new, self.task.repository, self.settings, about)

    def build(self, settings: Settings, folder: Path, command: str, log: object) -> Built:
        self.asked.append(settings)
        out = self.folder / self.key
        shutil.copytree(self.new, out / "repository", dirs_exist_ok=True)
        outputs = {"dataset": self.dataset, "served_check": out}
        return Built(settings, outputs, {}, command)

    def retrain(self, **options: bool) -> Outcome:
        self.lines.clear()
        return retrain(self.task, self.exported, "millirank retrain", self.lines.append, **options)

    @property
    def journal(self) -> list[dict[str, Any]]:
        text = (self.task.folder / JOURNAL).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]
