"""``millirank record``: the command."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import click


@click.command()
@click.option("--user", required=True, help="External id of the user.")
@click.option("--item", required=True, help="External id of the item.")
@click.option("--event", required=True, help="Its type: view, click, buy; the release knows which.")
@click.option("--timestamp", default=0, help="Seconds since the epoch; default: now.")
@click.option("--event-id", default="", help="Of this event alone; default: a new one.")
@click.option("--server", default="", help="HOST:PORT; default: this machine, port 8001 or 8000.")
@click.option("--protocol", type=click.Choice(["grpc", "http"]), default="grpc", show_default=True)
def record(
    user: str,
    item: str,
    event: str,
    timestamp: int,
    event_id: str,
    server: str,
    protocol: Literal["grpc", "http"],
) -> None:
    """Tell a server what a user did; the user's next recommendation sees it."""
    from serving.client import Client, Event

    told = Event(user, item, event, timestamp)
    if event_id:
        told = replace(told, event_id=event_id)
    address = server or f"127.0.0.1:{8001 if protocol == 'grpc' else 8000}"
    with Client(address, protocol) as client:
        done = client.record(told)
    click.echo(f"{'stored' if done.stored else 'was stored already'}: event {done.event_id}")
