"""Options of the commands that ask a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

DEMO = Path("build/movielens/repository")
"""What the commands take where nothing is named."""

protocols = click.option(
    "--protocol",
    "protocols",
    type=click.Choice(["grpc", "http"]),
    multiple=True,
    default=("grpc", "http"),
    show_default=True,
    help="Repeat it for several; they run one after the other.",
)

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--user", required=True, help="External id; an unknown one is a cold start."),
    click.option(
        "--image",
        type=click.Path(path_type=Path),
        help="Picture, JPEG, PNG or WebP, that the items should look like.",
    ),
    click.option(
        "--server", default="", help="HOST:PORT; default: this machine, port 8001 or 8000."
    ),
    click.option(
        "--protocol", type=click.Choice(["grpc", "http"]), default="grpc", show_default=True
    ),
    click.option(
        "--repository",
        type=click.Path(path_type=Path),
        default=DEMO,
        show_default=True,
        help="Titles and pictures come from here; served for this command where nobody answers.",
    ),
)


def asking(command: Command) -> Command:
    """Add ``--user``, ``--image``, ``--server``, ``--protocol`` and ``--repository``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
