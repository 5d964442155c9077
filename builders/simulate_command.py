"""``millirank simulate``: the whole loop with simulated users."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from builders.command_line import command_line


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--data", default="", help="File or folder that replaces [data] path.")
@click.option(
    "--out", type=click.Path(path_type=Path), default="build/simulation", show_default=True
)
@click.option("--rounds", default=5, show_default=True, help="Serve, record, retrain, release.")
@click.option("--users", default=500, show_default=True, help="Drawn from the held-out events.")
@click.option("--requests-per-user", default=3, show_default=True, help="In each round.")
@click.option("--known", default=0.5, show_default=True, help="Share of the events in release 1.")
@click.option(
    "--cut",
    type=click.Choice(["users", "time"]),
    default="users",
    show_default=True,
    help="Known are the first events of each user, or of the log.",
)
@click.option(
    "--position-bias",
    default=1.0,
    show_default=True,
    help="B: position p is looked at with chance 1 / p^B.",
)
@click.option(
    "--noise", default=0.02, show_default=True, help="Chance to act otherwise than by taste."
)
@click.option(
    "--explore", default=0.1, show_default=True, help="Share of slots in arm 'on'; 0: no such arm."
)
@click.option(
    "--frozen/--no-frozen",
    default=True,
    show_default=True,
    help="An arm 'frozen' that is never retrained, too.",
)
@click.option("--event", default="click", show_default=True, help="Type of event of a click.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same users and same luck.")
def simulate(
    config: Path,
    data: str,
    out: Path,
    rounds: int,
    users: int,
    requests_per_user: int,
    known: float,
    cut: Literal["users", "time"],
    position_bias: float,
    noise: float,
    explore: float,
    frozen: bool,
    event: str,
    seed: int,
) -> None:
    """Play the whole loop of CONFIG with simulated users, with exploration off and on.

    A third arm is never retrained: what retraining does is told from what time does.

    Release 1 learns from the known part of the log. What a user did after that is what the user
    would like. In each round users ask a real server for ten items a few times; they look at
    position p with chance 1 / p^B, and click what they look at and would like with chance
    1 - noise, anything else with chance noise. Clicks go through `record`; then events are
    exported, `retrain` runs, and what it publishes is promoted on the running server.

    All arms have the same users, and those have the same luck: what differs is what is shown.
    The same command goes on with a simulation that was stopped, at its last finished round.
    OUT gets simulation.json, simulation.svg and simulation.md; build.log tells of the builds.

    \b
    What the table says, by round and arm:
      NDCG@10          of the answers, against what a user would still like
      clicks           a request, and of the items shown
      found so far     share of what users would like that they have clicked
      coverage         share of the items that anybody was shown
      Gini             of how often items were shown: 0 all alike, 1 one has all
      top 10 % items   share of what was shown that is among the most popular
      then             the release that followed, or that the old one was kept
    """  # noqa: D301 (in a raw string it would be no mark for click)
    from builders.built import wait_passively

    wait_passively()
    from rich.console import Console

    from builders.settings import Settings
    from builders.simulation.plan import Plan
    from builders.simulation.run import simulate as run
    from builders.simulation.table import rendered
    from builders.simulation.write import write_result

    plan = Plan(
        rounds=rounds,
        users=users,
        seed=seed,
        known=known,
        cut=cut,
        position_bias=position_bias,
        noise=noise,
        requests=requests_per_user,
        explore=explore,
        frozen=frozen,
        event=event,
    )
    found = run(Settings.load(config, data=data), plan, out, command_line())
    write_result(found, out)
    Console().print(rendered(found))
    click.echo(f"{found.users:,} users, {found.items:,} items; figures and plot in {out}")
