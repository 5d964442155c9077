"""A simulation from the log to its figures."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import redirect_stdout
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from builders.dataset.build import build_dataset, source_files
from builders.flow import source_hashes
from builders.settings import Settings
from builders.simulation.arm import Arm
from builders.simulation.arm_settings import arm_settings, whole_log
from builders.simulation.plan import DAY, FROZEN, TITLES, Plan
from builders.simulation.progress import Shown, shown
from builders.simulation.result import Result
from builders.simulation.snapshot import write_snapshot
from builders.simulation.world import World, cut
from builders.stages import Log, build_lock
from ensembles.errors import DataError, SettingsError
from serving.durable import replace_file

PLAN = "plan.json"
"""In the folder of a simulation: which one it is."""
LINES = "build.log"
"""There, too: what builds and retrainings printed."""


def simulate(settings: Settings, plan: Plan, out: Path, command: str) -> Result:
    """Play all rounds of all arms in ``out``; what is finished there is not played again.

    Raises:
        SettingsError: ``out`` holds something else, or ``arm_settings`` refuses.
        DataError: the log cannot be cut, or ends so late that its users would act in the future.
        MillirankError: whatever a build, a server or a client raises.
    """
    log = out / "log"
    chosen = {name: arm_settings(settings, plan, s, log) for name, s in plan.arms.items()}
    _check_free(out)
    with build_lock(out), (out / LINES).open("a", encoding="utf-8") as lines:

        def tell(line: str) -> None:
            print(line, file=lines, flush=True)

        _claim(out, settings, plan, tell)
        with redirect_stdout(lines), shown(len(chosen) * plan.rounds * plan.users) as progress:
            progress.say("reading the log")
            world = _world(settings, plan, log, tell)
            arms = {
                name: Arm(out / name, mine, world, plan, tell, command, retrains=name != FROZEN)
                for name, mine in chosen.items()
            }
            _play(arms, plan, progress)
    return Result.of(settings.name, plan, arms)


def _check_free(out: Path) -> None:
    """Nothing, or a simulation, is there.

    Raises:
        SettingsError: something else is.
    """
    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out} is no folder; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / PLAN).is_file():
        raise SettingsError(f"{out} holds files that are no simulation's; choose another --out")


def _claim(out: Path, settings: Settings, plan: Plan, log: Log) -> None:
    """Note which simulation this is, or see that it is the one that was begun here.

    Raises:
        SettingsError: it is another one.
    """
    source_files(settings, log)  # fetches what there is to fetch
    mine: dict[str, Any] = {
        "plan": asdict(plan),
        "settings": settings.model_dump(mode="json"),
        "data": source_hashes(settings),
    }
    if not (out / PLAN).is_file():
        replace_file(out / PLAN, json.dumps(mine, indent=1).encode())
    there = json.loads((out / PLAN).read_text("utf-8"))
    if different := [name for name in mine if mine[name] != there.get(name)]:
        raise SettingsError(
            f"{out} holds a simulation with another {', '.join(different)}; choose another --out, "
            "or remove it"
        )


def _world(settings: Settings, plan: Plan, snapshot: Path, log: Log) -> World:
    """Cut the log, and write what the first releases learn from."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = build_dataset(whole_log(settings), Path(folder), log)
    known = cut(dataset, plan)
    world = World.of(dataset, known, plan, listed=settings.data.catalogue_items)
    if world.start + plan.rounds * DAY > time.time():
        raise DataError(
            f"the log ends less than {plan.rounds} days ago, and each round is a day that follows "
            "it: recorded events would lie in the future; use fewer --rounds or an older log"
        )
    write_snapshot(dataset, known, settings.data.event_weights, snapshot)
    return world


def _play(arms: dict[str, Arm], plan: Plan, progress: Shown) -> None:
    """All rounds that are missing, one arm after the other."""
    finished: dict[str, int] = {}
    first: Path | None = None
    for name, arm in arms.items():
        progress.say(f"{TITLES[name]}: first release")
        finished[name] = arm.prepare(first)
        first = first or arm.folder
    for name, arm in arms.items():
        users = len(arm.world.likes)
        progress.advance(finished[name] * users)
        for number in range(finished[name], plan.rounds):
            title = f"{TITLES[name]}: round {number}"
            progress.say(title)
            arm.play(
                number,
                visited=lambda: progress.advance(1),
                retraining=partial(progress.say, f"{title}, retraining"),
            )
