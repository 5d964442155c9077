"""``millirank loadtest``: one command, and what it does by its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from serving.asking_options import DEMO, protocols

if TYPE_CHECKING:
    from loadtest.target import Target

_FILE = click.Path(path_type=Path)
_COMMON = frozenset({"repository", "seed"})
_READ_BY: dict[str, frozenset[str]] = {
    "a smoke test": frozenset({"seconds", "users", "protocols", "workers", "server", "ports"}),
    "--web": frozenset({"web_port", "workers"}),
    "--generator": frozenset(),
    "--scenario": frozenset(
        {"scenario", "objective", "json_file", "otlp", "out", "compare", "server", "ports"}
    ),
    "--find-limit": frozenset({"scenario", "objective", "json_file"}),
}
"""What each kind of load reads, beside ``_COMMON``."""
_PORTS = "8000,8001,8002"
_FLAGS = {"web": "--web", "generator": "--generator", "find_limit": "--find-limit"}


@click.command()
@click.argument("repository", type=_FILE, default=DEMO)
@click.option(
    "--seconds",
    default=15.0,
    show_default=True,
    help="Length, shared by ensembles and protocols; warm-up excluded.",
)
@click.option("--users", default=8, show_default=True, help="Clients that send at the same time.")
@protocols
@click.option("--seed", default=1, show_default=True, help="Same seed, same requests.")
@click.option("--workers", type=click.IntRange(1, 64), help="Locust's master and so many workers.")
@click.option("--web", is_flag=True, help="Locust's web page instead: start and stop loads there.")
@click.option("--web-port", default=8089, show_default=True, help="Of the page; 0 is a free one.")
@click.option("--generator", is_flag=True, help="How fast one load process can be, and no more.")
@click.option("--scenario", help="Play this one of ours (steady, shop, ...) or a TOML file.")
@click.option(
    "--find-limit", is_flag=True, help="Search for the highest rate that meets the objective."
)
@click.option("--objective", type=_FILE, help="Of a scenario; a TOML file.")
@click.option("--json", "json_file", type=_FILE, help="Write the run, or the limit, there.")
@click.option("--otlp", default="", help="Send a scenario's traces to this OpenTelemetry URL.")
@click.option(
    "--out",
    type=_FILE,
    show_default="REPOSITORY/../loadtest",
    help="Folder where runs of scenarios are kept, with their pages.",
)
@click.option("--server", default="", help="Host of a server that runs; default: one of our own.")
@click.option("--ports", default=_PORTS, show_default=True, help="Its HTTP, gRPC and metrics.")
@click.option("--compare", type=_FILE, help="A kept run (JSON); a regression against it fails.")
def loadtest(**options: Any) -> None:
    """Serve REPOSITORY, load each ensemble with Locust, and print where the time goes (U, X, M).

    With --server: load that one instead, which must serve the release of REPOSITORY.

    With --scenario: play it, print what was missed of the objective, and fail if anything was;
    the scenario says how long, how much and over which protocols. The run is kept, with a page
    that compares it with the last one. With --find-limit: play it (steady, if none is named) at
    other rates, and print the highest at which nothing is missed.
    """
    kind = _kind(options)
    _refuse_unread(kind)
    read = {name: options[name] for name in _READ_BY[kind] | _COMMON}
    if _RUN[kind](**read) is False:
        raise click.exceptions.Exit(1)


def _kind(options: dict[str, Any]) -> str:
    for name, kind in _FLAGS.items():
        if options[name]:
            return kind
    return "--scenario" if options["scenario"] is not None else "a smoke test"


def _refuse_unread(kind: str) -> None:
    """An option that would be ignored is a mistake."""
    context = click.get_current_context()
    for option in context.command.params:
        name = str(option.name)
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in _READ_BY[kind] | _COMMON and _FLAGS.get(name) != kind:
            goes = " or ".join(k for k, read in _READ_BY.items() if name in read) or "nothing else"
            raise click.UsageError(f"{option.opts[0]} goes with {goes}, not with {kind}")


def _smoke(workers: int | None, server: str, ports: str, **options: Any) -> bool:
    from loadtest.printed import print_load

    return print_load(workers=workers or 0, running=_running(server, ports), **options)


def _web(web_port: int, workers: int | None, **options: Any) -> None:
    from loadtest.web_page import serve_page

    serve_page(workers=workers or 1, port=web_port, **options)


def _generator(**options: Any) -> None:
    from loadtest.no_op.printed import print_generator

    print_generator(**options)


def _scenario(scenario: str, server: str, ports: str, **options: Any) -> bool:
    from loadtest.printed_run import print_run

    if server and options["otlp"]:
        raise click.UsageError("--otlp goes with a server of our own, not with --server")
    return print_run(name=scenario, running=_running(server, ports), **options)


def _running(server: str, ports: str) -> Target | None:
    """The server that is named, if any."""
    from loadtest.target import Target

    if server:
        return Target.parse(server, ports)
    if ports != _PORTS:
        raise click.UsageError("--ports are those of a --server; name it")
    return None


def _limit(scenario: str | None, **options: Any) -> bool:
    from loadtest.capacity_printed import print_limit

    return print_limit(name=scenario or "steady", **options)


_RUN: dict[str, Callable[..., bool | None]] = {
    "a smoke test": _smoke,
    "--web": _web,
    "--generator": _generator,
    "--scenario": _scenario,
    "--find-limit": _limit,
}
