"""The users of the tiny release as a log, and what they do afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from builders.dataset.build import build_dataset
from builders.dataset.dataset import Dataset
from ensembles.step_code import load_step
from tests.triton import oracle
from tests.triton.tiny import Tiny
from tests.unit.retrain.exported import Event, settings_of

CUT = 1000
"""Every event of the log is earlier."""


def dataset_of(tiny: Tiny, folder: Path) -> Dataset:
    """The tiny release's users with their events, whose numbers of items are others than its."""
    lines = ["user_id,item_id,timestamp"]
    lines += [f"{u},{tiny.item_ids[i]},{n}" for u, e in tiny.users.items() for n, i in enumerate(e)]
    folder.mkdir(parents=True)
    (folder / "log.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return build_dataset(settings_of(folder / "log.csv"), folder / "dataset", lambda _: None)


def later(tiny: Tiny, users: int, events: int) -> list[Event]:
    """What the first users, and a stranger, do after the cut, in turns."""
    rng = np.random.default_rng(5)
    names = [*list(tiny.users)[:users], "stranger"]
    found = []
    for n in range(events):
        for user in names:
            item = tiny.item_ids[int(rng.integers(1, len(tiny.item_ids)))]
            found.append((user, item, "view", CUT + 1 + len(found) + n))
    return found


def obeyed(tiny: Tiny, users: int, events: int) -> list[Event]:
    """After the cut the first users, in turns, take the best item that the release shows them."""
    version = tiny.repository / "features" / "1"
    tables = load_step(version).Tables.load(version / "tables")
    taken: dict[str, list[str]] = {user: [] for user in [*tiny.users][:users]}
    found: list[Event] = []
    for _ in range(events):
        for user, before in taken.items():
            (best,), _ = oracle.recommend(tiny, tables, user, 1, recent=before)
            before.append(best)
            found.append((user, best, "view", CUT + 1 + len(found)))
    return found
