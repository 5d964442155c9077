"""Tuning against the real server."""

from __future__ import annotations

import json
import urllib.request
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from builders.publish.release import chains_of
from builders.publish.tuned import settings_of
from builders.settings import Settings
from loadtest.tune import run
from loadtest.tune.duel import fight
from loadtest.tune.subject import Subject
from millirank import cli
from serving.manifest import check, write_manifest
from serving.repository import releases
from tests.triton.tiny import CANDIDATES, HISTORY, Tiny, hold_out, make_release

SETTINGS = Settings.parse(
    {
        "name": "tiny",
        "data": {"format": "csv"},
        "features": {"history": HISTORY},
        "retrieval": {"candidates": CANDIDATES},
    },
    origin="a test",
)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    made = make_release(tmp_path, fused=True)
    hold_out(made, 1)
    write_manifest(made.repository, 1, {"settings": SETTINGS.model_dump(mode="json")})
    return made


def files(repository: Path) -> dict[Path, tuple[int, bytes]]:
    found = (p for p in repository.rglob("*") if p.is_file())
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in found}


def test_a_trial_serves_a_copy(tiny: Tiny) -> None:
    form = chains_of(tiny.repository, 1, settings_of(tiny.repository, 1))
    before = files(tiny.repository)
    values = {"instances": 1, "max_queue_delay_us": 100, "fuse_steps": False}
    with Subject(tiny.repository, 1, *form).served(values) as server:
        with urllib.request.urlopen(f"http://{server.http}/v2/models/ranker/config") as answer:
            config = json.load(answer)
        assert config["instance_group"][0]["count"] == 1
        assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 100
    assert files(tiny.repository) == before
    assert {p.name for p in tiny.repository.parent.iterdir()} == {"repository", "state"}


@pytest.mark.slow
def test_the_command(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round decides nothing, so whatever they show the release stays the only one."""
    monkeypatch.setattr(run, "SECONDS", 0.5)
    monkeypatch.setattr(run, "fight", partial(fight, rounds=1))
    objective = tmp_path / "objective.toml"
    objective.write_text("p50_ms = 25\nerror_share = 0.5\nminimum_count = 100\n")
    (left := tmp_path / ".tuning-999999999-x").mkdir()
    asked = ["tune", str(tiny.repository), "--objective", str(objective), "--trials", "1"]
    found = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert "trial 0: instances = " in found.output
    assert "times the latency" in found.output
    assert not left.exists()
    for release in releases(tiny.repository):
        check(tiny.repository, release)
    again = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert again.exit_code == 0
