"""``millirank latency``."""

from __future__ import annotations

from pathlib import Path

import click

from serving.asking_options import DEMO, protocols


@click.command()
@click.argument("repository", type=click.Path(path_type=Path), default=DEMO)
@click.option("--count", default=2000, show_default=True, help="Requests, one at a time.")
@click.option(
    "--image",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Picture to send to `recommend_visual`; default: a sample of the release.",
)
@protocols
def latency(repository: Path, count: int, image: Path | None, protocols: tuple[str, ...]) -> None:
    """Serve REPOSITORY, time single requests, and print how much of them each step takes."""
    from loadtest.printed import print_latency

    print_latency(repository, count=count, protocols=protocols, image=image)
