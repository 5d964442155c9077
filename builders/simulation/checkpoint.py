"""An arm's folder as it was after its last finished round, so that a killed simulation goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from serving.durable import sync, sync_tree

_STAGES = "stages"
"""What builds keep there they can make again, or find again by its content."""


def save(arm: Path, saved: Path, number: int) -> None:
    """Keep a copy of ``arm`` as ``saved/number``, and none of an earlier one."""
    partial = saved / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(arm, partial, symlinks=True, ignore=_without_stages(arm))
    sync_tree(partial)
    partial.rename(saved / str(number))
    sync(saved)
    for other in _numbers(saved):
        if other != number:
            shutil.rmtree(saved / str(other))


def restore(arm: Path, saved: Path) -> int:
    """Bring ``arm`` back to the newest copy; its number, -1 where there is none."""
    number = max(_numbers(saved), default=-1)
    for entry in arm.iterdir() if arm.is_dir() else ():
        if entry.name == _STAGES:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if number >= 0:
        shutil.copytree(saved / str(number), arm, symlinks=True, dirs_exist_ok=True)
    return number


def _numbers(saved: Path) -> Iterator[int]:
    found = saved.iterdir() if saved.is_dir() else ()
    return (int(entry.name) for entry in [*found] if entry.name.isdecimal())


def _without_stages(arm: Path) -> Callable[[str, list[str]], list[str]]:
    """Of the folder itself only: a repository may have one of that name."""
    return lambda folder, names: [n for n in names if Path(folder) == arm and n == _STAGES]
