"""The front door: parses the command line, calls, prints, and returns an exit code."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Literal

import click

from builders.command_line import command_line
from builders.outcomes_command import outcomes
from builders.retrain_command import retrain
from builders.simulate_command import simulate
from ensembles.errors import MillirankError
from loadtest.command import loadtest
from loadtest.latency_command import latency
from loadtest.release.command import release
from serving.asking_options import DEMO, asking
from serving.events_command import events
from serving.recommend_command import recommend
from serving.record_command import record
from serving.serve_command import serve
from serving.state_command import state

_repository = click.argument("repository", type=click.Path(path_type=Path), default=DEMO)
_data = click.option("--data", default="", help="File or folder that replaces [data] path.")
_out = click.option(
    "--out", type=click.Path(path_type=Path), default=None, show_default="build/NAME"
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option("0.1.0", prog_name="millirank")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Turn an interaction log into a Triton deployment that answers in milliseconds.

    \b
    First steps:
      millirank build builders/presets/movielens.toml      build and publish a recommender
      millirank serve build/movielens/repository           serve it on this machine
      millirank recommend --user 42 -k 10                  ask it
      millirank loadtest build/movielens/repository        load-test it
    """  # noqa: D301 (in a raw string it would be no mark for click)


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@_data
@_out
@click.option(
    "--passes",
    type=click.Path(path_type=Path),
    default=None,
    help="File with the [compress] section to take, as `compress` leaves it.",
)
@click.option(
    "--images", default="", help="Item pictures, 'DIR/{item_id}.jpg'; replaces [data] images."
)
@click.option("--stage", is_flag=True, help="Not current yet: `millirank release` tries it first.")
def build(
    config: Path, data: str, out: Path | None, passes: Path | None, images: str, *, stage: bool
) -> None:
    """Build CONFIG (a TOML file) and publish the result as a release.

    Stages that nothing changed for are skipped; a build that was killed goes on where it stood.
    The release becomes current only when a running Triton answers as the offline pipeline does.
    """
    from builders.build import run_build
    from builders.settings import Settings

    settings = Settings.load(config, data=data, images=images, passes=passes)
    folder = out or Path("build") / settings.name
    run_build(settings, folder, command_line(), click.echo, stage=stage)


@cli.command()
@click.argument("config", type=click.Path(path_type=Path))
@_data
@_out
@click.option("--slo", required=True, help="Objective: p99=10ms, p50=800us.")
@click.option("--max-quality-loss", default="1%", show_default=True, help="Of NDCG@10: 1% or 0.01.")
@click.option("--minutes", default=60.0, show_default=True, help="No trial starts later.")
@click.option("--trials", type=click.IntRange(1), help="Stop at so many, earlier runs included.")
def compress(
    config: Path,
    data: str,
    out: Path | None,
    slo: str,
    max_quality_loss: str,
    minutes: float,
    trials: int | None,
) -> None:
    """Search for the compression passes with which the ranker of CONFIG meets an objective.

    The objective is that of the ranker alone (M): one request at a time in ONNX Runtime, with the
    threads it is served with. What a client sees is load-tested after the build. The same command
    goes on with an earlier search; Ctrl-C keeps what was found. Exit code 1: nothing met it.
    """
    from builders.compress.search.run import run_search
    from builders.compress.search.slo import Limits, Wish
    from builders.settings import Settings

    wish = Wish.parse(slo, max_quality_loss)
    settings = Settings.load(config, data=data)
    folder, limits = out or Path("build") / settings.name, Limits(minutes, trials)
    if not run_search(settings, folder, wish, limits, command_line(), click.echo).met:
        raise click.exceptions.Exit(1)


for command in (serve, release, state, recommend, record, events, retrain, simulate, outcomes):
    cli.add_command(command)


@cli.command()
@asking
@click.option("-k", "k", default=12, show_default=True, help="How many items a list, 1 to 100.")
@click.option("--out", type=click.Path(path_type=Path), default="preview.html", show_default=True)
def preview(
    user: str,
    k: int,
    image: Path | None,
    out: Path,
    server: str,
    protocol: Literal["grpc", "http"],
    repository: Path,
) -> None:
    """Write a page on which a person can judge: the picture, and those of recommended items.

    It asks with the picture alone, with the user alone and with both; without a picture, with the
    user alone. The page is one file that fetches nothing.
    """
    from serving.messages import Request
    from serving.preview.write import write_preview

    request = Request(user, k, image=image)
    click.echo(write_preview(request, server, protocol, repository, out))


cli.add_command(loadtest)


@cli.command()
@_repository
@click.option("--objective", type=click.Path(path_type=Path), help="A TOML file; default: ours.")
@click.option("--scenario", default="steady", show_default=True, help="One of ours, or a file.")
@click.option("--minutes", default=20.0, show_default=True, help="No trial starts later.")
@click.option("--trials", type=click.IntRange(1), help="Stop at so many, earlier runs included.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same requests.")
def tune(
    repository: Path,
    objective: Path | None,
    scenario: str,
    minutes: float,
    trials: int | None,
    seed: int,
) -> None:
    """Search for serving settings of REPOSITORY that answer a scenario faster.

    Each trial runs in turns with the best so far, on temporary copies. What is better beyond the
    noise becomes a new release with the evidence in its manifest. The same command goes on with
    an earlier search.
    """
    from builders.publish.release import chains_of
    from builders.publish.tuned import publish_tuned, settings_of
    from loadtest.tune.printed import print_tune
    from loadtest.tune.search import Limits
    from loadtest.tune.subject import Subject
    from serving.repository import current_release

    number = current_release(repository)
    form = chains_of(repository, number, settings_of(repository, number))
    print_tune(
        Subject(repository, number, *form),
        scenario,
        objective=objective,
        limits=Limits(minutes, trials),
        seed=seed,
        publish=lambda changed, evidence: publish_tuned(repository, number, changed, evidence),
    )


cli.add_command(latency)


@cli.command()
@_repository
@click.option("--json", "raw", is_flag=True, help="Print the manifest as it is, and nothing else.")
def inspect(repository: Path, *, raw: bool) -> None:
    """Check the current release of REPOSITORY and print how it came to be."""
    from builders.publish.history import print_release

    print_release(repository, raw=raw)


@cli.command()
@click.option("--check", is_flag=True, help="Change nothing; fail when a file differs.")
def render(check: bool) -> None:
    """Write model_repository/*/config.pbtxt from the pipelines in ensembles/."""
    from ensembles.profiles import Knobs
    from ensembles.recommend import chains
    from ensembles.render import stale_configs, write_configs

    folder = Path(__file__).parent / "model_repository"
    pipelines = chains(lookup=False, visual=True)
    if not check:
        write_configs(folder, pipelines, 1, Knobs())
        return
    stale = stale_configs(folder, pipelines, 1, Knobs())
    for path in stale:
        click.echo(f"{path} differs from what ensembles/ renders; run `make render`", err=True)
    if stale:
        raise click.exceptions.Exit(1)


def main() -> None:
    """Run the command line; exit code 1 for an error, 2 for wrong usage."""
    try:
        code = cli(standalone_mode=False)
    except click.exceptions.Exit as e:
        code = e.exit_code
    except click.ClickException as e:
        e.show()
        code = e.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = 130
    except MillirankError as e:
        if "--debug" in sys.argv:
            traceback.print_exc()
        click.echo(f"error: {e}", err=True)
        code = 1
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
