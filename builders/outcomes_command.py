"""``millirank outcomes``: a report out of exported events."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path)


@click.command()
@click.option(
    "--events", type=_FOLDER, required=True, help="Folder that `events export` writes into."
)
@click.option("--out", type=_FOLDER, required=True, help="Folder that gets the report.")
@click.option(
    "--repository", type=_FOLDER, help="Of the releases: tells how large their catalogues are."
)
@click.option(
    "--click",
    "clicks",
    multiple=True,
    metavar="EVENT",
    help="Type of event that is a click; repeat it for several.  [default: all but dislike, skip]",
)
def outcomes(events: Path, out: Path, repository: Path | None, clicks: tuple[str, ...]) -> None:
    """Write what became of what was shown, as HTML and as JSON.

    Impressions and clicks, their rate by release and by position with intervals, how much of the
    catalogue was shown, and how many answers were to users of whom nothing was known.
    """
    from builders.outcomes.write import write_outcomes

    found, path = write_outcomes(events, out, clicks=clicks, repository=repository)
    rate = found.clicked
    click.echo(
        f"{rate.count:,} clicks of {rate.total:,} impressions: {rate.value:.2%} "
        f"(95 % interval {rate.low:.2%} to {rate.high:.2%})"
    )
    click.echo(f"report: {path}")
