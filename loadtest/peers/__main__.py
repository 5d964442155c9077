"""``python -m loadtest.peers REPOSITORY``: what ``make bench-peers`` runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from ensembles.errors import MillirankError
from loadtest.peers.bench import Settings, run
from loadtest.peers.peer import chosen
from loadtest.peers.report import as_json, tables


@click.command()
@click.argument("repository", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--peer", "names", multiple=True, help="A peer to measure; all of them by default.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Of each measurement.")
@click.option(
    "--folder",
    default=Path("build/peers"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="For environments, logs and bench.json.",
)
def main(
    repository: Path, names: tuple[str, ...], rounds: int, seconds: float, folder: Path
) -> None:
    """Measure the release in REPOSITORY under Triton and behind other servers."""
    console = Console()
    try:
        settings = Settings(rounds=rounds, seconds=seconds)
        bench = run(repository, chosen(names), settings, folder, console.print)
    except MillirankError as e:
        click.echo(f"error: {e}", err=True)
        sys.exit(1)
    console.print(*tables(bench))
    for name, reason in bench.left_out.items():
        console.print(f"left out: {name}: {reason}", highlight=False, markup=False)
    report = folder / "bench.json"
    report.write_text(as_json(bench, settings), encoding="utf-8")
    console.print(f"written: {report}", soft_wrap=True)


if __name__ == "__main__":
    main()
