"""Copies a user state, with the code of the feature step and a progress bar."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ensembles.errors import DataError
from ensembles.step_code import load_step

_FEATURES = Path(__file__).resolve().parents[1] / "model_repository" / "features" / "1"


def copy_with_progress(source: str, target: str) -> tuple[int, float]:
    """Merge all users of one state into another; how many, and seconds.

    Raises:
        DataError: a URL is wrong, or a state cannot be read or written.
    """
    code = load_step(_FEATURES)
    columns = (TextColumn("users"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    start = time.perf_counter()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("users", total=None)
        try:
            count = code.copy_state(
                *(source, target, Path.cwd()),
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        except ValueError as e:
            raise DataError(f"user state: {e}") from e
    return count, time.perf_counter() - start
