"""``millirank retrain``: suited to cron, its exit code says what came of it."""

from __future__ import annotations

from pathlib import Path

import click

from builders.command_line import command_line

NOT_BETTER = 3
"""Exit code where the new release was not published."""


@click.command()
@click.argument("config_or_repository", type=click.Path(path_type=Path))
@click.option(
    "--events",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder that `events export` writes into; keep what lies there.",
)
@click.option("--data", default="", help="File or folder that replaces [data] path.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    show_default="build/NAME",
    help="Folder of the build, for a CONFIG.",
)
@click.option("--full", is_flag=True, help="Train from scratch, not from the current release.")
@click.option("--current", is_flag=True, help="Have servers that start serve the new release.")
def retrain(
    config_or_repository: Path,
    events: Path,
    data: str,
    out: Path | None,
    *,
    full: bool,
    current: bool,
) -> None:
    """Make a fresher release out of recorded events, and publish it if it is not worse.

    A CONFIG is the TOML file of a build; a REPOSITORY tells the settings of its current release.
    All events but the newest join the log; the build starts from the current release's weights
    and holds the same gates; on the newest events both releases are compared.

    \b
    Exit code:
      0  published, or nothing to do
      1  an error, such as another build that runs in the folder
      3  not published: it may be worse than the current release
    """  # noqa: D301 (in a raw string it would be no mark for click)
    from builders.built import wait_passively

    wait_passively()
    from builders.retrain.run import Outcome
    from builders.retrain.run import retrain as run
    from builders.retrain.task import Task

    task = Task.of(config_or_repository, data=data, out=out)
    outcome = run(task, events, command_line(), click.echo, full=full, current=current)
    if outcome is Outcome.NOT_BETTER:
        raise click.exceptions.Exit(NOT_BETTER)
