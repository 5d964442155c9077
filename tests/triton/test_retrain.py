"""Retraining as cron runs it: killed, run again, served; and a log of shuffled items is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders.build import run_build
from builders.retrain.run import JOURNAL
from serving.client import Client, Request
from serving.manifest import check
from serving.repository import current_release, releases
from serving.temporary import temporary_server
from serving.version_folders import make_current
from tests.triton.test_build import ROOT, settings
from tests.unit.retrain.exported import Event, export

pytestmark = pytest.mark.skipif(not os.environ.get("MILLIRANK_RETRAIN"), reason="make test-retrain")
USERS, ITEMS, LOGGED = 80, 40, 12
STARTS = np.random.default_rng(3).integers(0, ITEMS, USERS).tolist()


def walk(first: int, last: int) -> list[Event]:
    """Users go on around a circle of items, a step every ten seconds."""
    return [
        (f"u{user}", f"i{(start + step) % ITEMS}", "view", 1000 + 10 * step)
        for step in range(first, last)
        for user, start in enumerate(STARTS)
    ]


def write_log(path: Path, items: list[str]) -> Path:
    events = zip(walk(0, LOGGED), items, strict=True)
    lines = [f"{user},{item},{seconds}" for (user, _, _, seconds), item in events]
    path.write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    return path


def shuffled(items: list[str]) -> list[str]:
    found: list[str] = np.random.default_rng(1).permutation(items).tolist()
    return found


def retrain(repository: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "millirank.py"), "retrain", str(repository)]
    return subprocess.Popen(
        [*command, "--events", str(repository.parents[1] / "events"), *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=300)
    return process.returncode, out


def test_the_loop(tmp_path: Path) -> None:
    items = [item for _, item, _, _ in walk(0, LOGGED)]
    log = write_log(tmp_path / "log.csv", items)
    shape = {"epochs": 12, "patience": 12, "learning_rate": 0.01}
    first = settings(log=log, train=shape, feedback={"tolerance": 0.2, "window": 0.3})
    repository = run_build(first, tmp_path / "out", "millirank build", lambda _: None)
    assert check(repository, 1)["trained_on"]["newest"] == 1000 + 10 * (LOGGED - 1)
    export(tmp_path / "events", walk(LOGGED, LOGGED + 6))

    killed = retrain(repository)
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.startswith("epoch 2:"):
            killed.send_signal(signal.SIGKILL)
    killed.stdout.close()
    assert killed.wait() == -signal.SIGKILL

    code, out = finished(retrain(repository))
    assert (code, "[2/8] retrieval: unchanged" in out) == (0, True), out
    assert f"{ITEMS} of {ITEMS} items start from the earlier release" in out
    assert "training goes on from its last finished epoch" in out
    assert (releases(repository), current_release(repository)) == ([1, 2], 1)
    manifest = check(repository, 2)
    assert manifest["trained_on"]["recorded"] == 4 * USERS
    assert manifest["trained_on"]["exported"] == 6 * USERS
    assert manifest["retrained"]["users"] == USERS

    make_current(repository, 2)
    with temporary_server(repository) as server, Client(server.grpc) as client:
        assert client.recommend(Request(user_id="u3", k=5)).release == 2
    assert finished(retrain(repository)) == (
        0,
        f"0 new events since release 2, of {6 * USERS}\n",
    )

    # Everything but the window is shuffled now: the log, and what was recorded.
    bad = write_log(tmp_path / "shuffled.csv", shuffled(items))
    recorded, window = walk(LOGGED, LOGGED + 7), walk(LOGGED + 7, LOGGED + 9)
    wrong = zip(recorded, shuffled([item for _, item, _, _ in recorded]), strict=True)
    events = [(user, item, event, seconds) for (user, _, event, seconds), item in wrong]
    export(tmp_path / "events", [*events, *window])
    code, out = finished(retrain(repository, "--full", "--data", str(bad)))
    assert (code, "not published: it may be worse" in out) == (3, True), out
    assert releases(repository) == [1, 2]
    said = [json.loads(line) for line in (tmp_path / "out" / JOURNAL).read_text().splitlines()]
    assert [line["published"] for line in said] == [2, None]
    print("\n".join(out.splitlines()[-2:]))
