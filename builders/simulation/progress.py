"""How far a simulation has come: a bar on a terminal, else a line for each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


@dataclass(frozen=True)
class Shown:
    """What to tell.

    Attributes:
        say: what is done now.
        advance: so many users more are done with a round.
    """

    say: Callable[[str], object]
    advance: Callable[[int], object]


@contextmanager
def shown(total: int) -> Iterator[Shown]:
    """Show it on the terminal's error output; what is printed to the other is redirected.

    Args:
        total: rounds of users.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Shown(lambda line: console.print(line, highlight=False), lambda _: None)
        return
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))

    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield Shown(
            lambda line: bar.update(task, description=line), lambda users: bar.advance(task, users)
        )
