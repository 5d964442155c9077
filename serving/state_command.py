"""``millirank state``: what is done to a user state from the outside."""

from __future__ import annotations

import click


@click.group()
def state() -> None:
    """Work on the user state: each user's newest events, in LMDB or in Redis."""


@state.command()
@click.argument("source")
@click.argument("target")
def copy(source: str, target: str) -> None:
    """Merge all users of SOURCE into TARGET, such as redis://127.0.0.1:6379/0.

    \b
    Both are URLs; a relative lmdb:// folder starts here:
      millirank state copy lmdb://build/movielens/state redis://127.0.0.1:6379/0
    A password may stand in a file that MILLIRANK_STATE_PASSWORD_FILE names. Servers may read, and
    others may write, meanwhile. Doing it again changes nothing.
    """  # noqa: D301 (in a raw string it would be no mark for click)
    from serving.state_copy import copy_with_progress

    count, seconds = copy_with_progress(source, target)
    click.echo(f"{count:,} users merged in {seconds:.1f} s")
