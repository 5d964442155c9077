"""How far a load has come: written by its process to a file, and shown by the one who waits.

The load process writes once a second and never waits for a reader; a line on a pipe could.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

WRITE_SECONDS = 1.0
_LINES = 10
"""Lines that a whole run prints where there is no terminal."""

Tell = Callable[["Progress"], None]


@dataclass(frozen=True)
class Progress:
    """So far, warm-up left out.

    Attributes:
        begun: the first measured moment, on the machine's monotonic clock.
        seconds: since then.
        answered, errors: requests.
    """

    begun: float
    seconds: float
    answered: int
    errors: int

    def line(self, total_seconds: float) -> str:
        """On one line."""
        return (
            f"{self.seconds:.0f} of {total_seconds:.0f} s, "
            f"{self.answered + self.errors:,} requests, {self.errors:,} errors"
        )


def read_progress(file: Path) -> Progress | None:
    """The last that was written; None before the first."""
    try:
        return Progress(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


@contextmanager
def telling(file: str, counts: Callable[[], tuple[int, int]]) -> Iterator[None]:
    """While inside, write the progress; for the load process, where Locust runs.

    Args:
        file: where to; ``""`` for nowhere.
        counts: answered requests and errors so far.
    """
    import gevent

    begun = time.monotonic()

    def write() -> None:
        told = Progress(begun, time.monotonic() - begun, *counts())
        unfinished = Path(f"{file}.new")
        unfinished.write_text(json.dumps(asdict(told)), encoding="utf-8")
        unfinished.replace(file)

    def keep_writing() -> None:
        while True:
            write()
            gevent.sleep(WRITE_SECONDS)

    writer = gevent.spawn(keep_writing) if file else None
    try:
        yield
    finally:
        if writer is not None:
            writer.kill()
            write()


@contextmanager
def shown(console: Console, total_seconds: float) -> Iterator[Tell]:
    """What to tell the progress to: a bar on a terminal, else some ten lines of a run."""
    if console.is_terminal:
        columns = (BarColumn(), TextColumn("{task.description}"))
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task("warm-up", total=total_seconds)
            yield lambda told: bar.update(
                task, completed=told.seconds, description=told.line(total_seconds)
            )
        return
    due = total_seconds / _LINES

    def tell(told: Progress) -> None:
        nonlocal due
        if told.seconds >= due:
            console.print(told.line(total_seconds), highlight=False, soft_wrap=True)
            due = told.seconds + total_seconds / _LINES

    yield tell
