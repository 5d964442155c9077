"""``millirank events``: the event log, out of a user state and kept within limits."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.Path(path_type=Path, file_okay=False)
_state = click.option(
    "--state", required=True, help="User state: lmdb://FOLDER or redis://HOST:PORT/DB."
)


@click.group()
def events() -> None:
    """Work on the event log that `record` writes into the user state."""


@events.command()
@_state
@click.option("--out", type=_FOLDER, required=True, help="Folder of Parquet files.")
def export(state: str, out: Path) -> None:
    """Write the events that are not in OUT yet into a new Parquet file there.

    Servers may record meanwhile. An export that was cut off is gone on with; no event is written
    twice. OUT/cursor.json keeps where it stands.
    """
    from serving.event_export import export_events

    click.echo(f"{export_events(state, out):,} events exported to {out}")


@events.command()
@_state
@click.option("--older-than", default="", help="Remove events received longer ago: 90d, 12h.")
@click.option("--keep-bytes", type=click.IntRange(0), help="Remove the oldest beyond this size.")
@click.option("--exported", type=_FOLDER, help="Keep what is not exported to this folder yet.")
def prune(state: str, older_than: str, keep_bytes: int | None, exported: Path | None) -> None:
    """Remove the oldest events from the log; users' states stay as they are.

    With an event its id is forgotten in LMDB, so keep at least record.past_days. The file of LMDB
    does not shrink: its room is used again.
    """
    from serving.event_prune import prune_events

    click.echo(f"{prune_events(state, older_than, keep_bytes, exported):,} events removed")
