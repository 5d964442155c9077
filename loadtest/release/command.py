"""``millirank release``: the commands that change what running servers serve."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from serving.asking_options import DEMO

if TYPE_CHECKING:
    from serving.release.fleet import Fleet
    from serving.release.session import Session

Command = TypeVar("Command", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)
_ADDRESS = re.compile(r"(\[[^\]]+\]|[^:]+):(\d+)(?::(\d+):(\d+))?")
Addresses = tuple[str, str, str]
"""Of HTTP, gRPC and metrics."""


class Servers(click.ParamType[Addresses]):
    """HOST:HTTP or HOST:HTTP:GRPC:METRICS; as three addresses."""

    name = "host:port"

    def convert(self, value: Any, param: Any, ctx: Any) -> Addresses:
        """Fails with what was expected."""
        found = _ADDRESS.fullmatch(value)
        if not found:
            self.fail(f"expected HOST:HTTP or HOST:HTTP:GRPC:METRICS, got {value!r}", param, ctx)
        host, http, grpc, metrics = found.groups()
        behind = (int(http) + 1, int(http) + 2)  # as the default ports are
        return f"{host}:{http}", f"{host}:{grpc or behind[0]}", f"{host}:{metrics or behind[1]}"


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_of_servers = _options(
    click.argument("repository", type=click.Path(path_type=Path), default=DEMO),
    click.option(
        "--server",
        "servers",
        type=Servers(),
        multiple=True,
        default=("127.0.0.1:8000",),
        show_default=True,
        help="HOST:HTTP[:GRPC:METRICS], by default one and two ports up; repeat it for several.",
    ),
)
_changing = _options(
    _of_servers,
    click.option("--token-file", type=_FILE, required=True, help="As `millirank serve` has it."),
    click.option("--profile", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True),
    click.option("--why", default="", help="A word for the journal."),
)
_watched = _options(
    click.option("--minutes", type=click.FloatRange(0, min_open=True), default=5.0),
    click.option("--objective", type=_FILE, help="A TOML file; default: ours."),
)


class Share(click.ParamType[float]):
    """A share of the users, as 10% or 0.1."""

    name = "share"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Fails with what was expected."""
        try:
            share = float(value[:-1]) / 100 if value.endswith("%") else float(value)
        except ValueError:
            share = -1.0
        if not 0 < share <= 1:
            self.fail(f"expected a share above 0 and up to 100%, got {value!r}", param, ctx)
        return share


@click.group()
def release() -> None:
    """Change the release of running servers without losing a request.

    \b
    First steps, with a server that was started with --token-file token:
      millirank build shop.toml --stage
      millirank release stage   build/shop/repository --token-file token
      millirank release shadow  build/shop/repository --token-file token --share 20%
      millirank release canary  build/shop/repository --token-file token --shares 1%,10%,50%
      millirank release promote build/shop/repository --token-file token
    """  # noqa: D301 (in a raw string it would be no mark for click)


@release.command()
@_of_servers
def status(repository: Path, servers: tuple[Addresses, ...]) -> None:
    """Which release answers, which one is tried, and on how many users."""
    from loadtest.release.printed import print_status

    print_status(_fleet(repository, servers))


@release.command()
@_changing
@click.option("--release", "number", type=click.IntRange(1), help="Default: the newest.")
def stage(number: int | None, **changing: Any) -> None:
    """Load and warm a release beside the one that answers; nobody is answered by it yet."""
    _change(lambda session: session.stage(number), **changing)


@release.command()
@_changing
def promote(**changing: Any) -> None:
    """Have the staged release answer everybody, now and after a restart.

    The one before stays loaded for `millirank release rollback`.
    """
    _change(lambda session: session.promote(), **changing)


@release.command()
@_changing
@click.option("--release", "number", type=click.IntRange(1), help="Default: the one before.")
def rollback(number: int | None, **changing: Any) -> None:
    """End a trial; where there is none, have the release before answer everybody again."""
    _change(lambda session: session.rollback(number), **changing)


@release.command()
@_changing
@_watched
@click.option("--share", type=Share(), default="10%", show_default=True, help="Of the users.")
def shadow(share: float, minutes: float, objective: Path | None, **changing: Any) -> None:
    """Ask the staged release, too, what a share of the users asks; compare, and return nothing.

    A release that misses the objective is rejected: exit code 1.
    """
    from loadtest.release.printed import print_shadow

    print_shadow(*_opened(**changing), share=share, minutes=minutes, objective=objective)


@release.command()
@_changing
@_watched
@click.option("--shares", default="1%,10%,50%", show_default=True, help="Of the users, in steps.")
@click.option("--promote", is_flag=True, help="At the end; otherwise the last share stays.")
def canary(
    shares: str, minutes: float, objective: Path | None, *, promote: bool, **changing: Any
) -> None:
    """Have the staged release answer growing shares of the users, each for some minutes.

    The users are chosen by a hash of their id, the same ones all along. A release that misses the
    objective in a window answers nobody any more at once, and is taken out of the repository: exit
    code 1. A window with too few requests to judge is made longer.
    """
    from loadtest.release.printed import print_canary

    wanted = [Share().convert(share.strip(), None, None) for share in shares.split(",")]
    print_canary(
        *_opened(**changing), shares=wanted, minutes=minutes, objective=objective, promote=promote
    )


@release.command()
@click.argument("repository", type=click.Path(path_type=Path), default=DEMO)
@click.option("--last", default=20, show_default=True, help="Entries to show.")
@click.option("--json", "raw", is_flag=True, help="Print them as they are, one a line.")
def journal(repository: Path, last: int, *, raw: bool) -> None:
    """Who changed the release when and why, and by which figures."""
    from loadtest.release.printed import print_journal

    print_journal(repository, last, raw=raw)


def _fleet(
    repository: Path,
    servers: tuple[Addresses, ...],
    token_file: Path | None = None,
    profile: str = "cpu",
) -> Fleet:
    from serving.control_token import read_token
    from serving.release.session import fleet_of

    token = read_token(token_file) if token_file else ""
    return fleet_of(repository, [(http, grpc) for http, grpc, _ in servers], token, profile)


def _opened(
    repository: Path,
    servers: tuple[Addresses, ...],
    token_file: Path,
    profile: str,
    why: str,
) -> tuple[Fleet, list[str], str]:
    fleet = _fleet(repository, servers, token_file, profile)
    return fleet, [metrics for *_, metrics in servers], why


def _change(do: Callable[[Session], object], **changing: Any) -> None:
    from loadtest.release.printed import print_status
    from serving.release.session import Session

    fleet, _, why = _opened(**changing)
    with Session.open(fleet, why) as session:
        do(session)
        print_status(fleet)
