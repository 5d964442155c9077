"""What ``millirank loadtest`` and ``millirank latency`` print."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from loadtest.latency import one_at_a_time
from loadtest.smoke import smoke_test
from loadtest.tables import budget_table, latency_table, load_table, steps_table
from loadtest.target import Target
from serving.temporary import temporary_server


def print_load(
    repository: Path,
    *,
    seconds: float,
    users: int,
    protocols: Sequence[str],
    seed: int,
    workers: int = 0,
    running: Target | None = None,
) -> bool:
    """Serve and load a repository as ``smoke_test`` does; whether it was good.

    Args:
        running: a server of the same release to load instead.
    """
    load = partial(
        smoke_test, seconds=seconds, users=users, protocols=protocols, seed=seed, workers=workers
    )
    if running is not None:
        running.check_serves(repository)
        result = load(running.ports, repository, host=running.host)
    else:
        with temporary_server(repository) as server:
            result = load(server.ports, repository)
    console = Console()
    console.print(load_table(result), *map(budget_table, result.loads))
    for found in result.loads:
        console.print(f"{found.name}: {found.budget.line()}", highlight=False, soft_wrap=True)
    return result.good


def print_latency(
    repository: Path, *, count: int, protocols: Sequence[str], image: Path | None
) -> None:
    """Serve a repository and time single requests as ``one_at_a_time`` does."""
    with temporary_server(repository) as server:
        found = one_at_a_time(
            server.ports, repository, count=count, protocols=protocols, image=image
        )
    Console().print(latency_table(found), *map(steps_table, found))
