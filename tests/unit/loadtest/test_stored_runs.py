"""Runs that are kept, found again, and compared with; what the command line makes of them."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from ensembles.errors import LoadTestError
from loadtest import printed_run
from loadtest.capacity import Capacity, Step
from loadtest.record import RunRecord
from loadtest.report.past import Past
from loadtest.report.stored import Shelf, StoredRun, write_whole
from loadtest.scenario import find_scenario
from millirank import cli
from tests.unit.loadtest.found_run import PLAYED, made_run, slower, stored

RUN = made_run()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


def test_there_and_back(repository: Path) -> None:
    shelf = Shelf.of(repository, "some/where/mixed.toml")
    assert shelf.folder == repository.parent / "loadtest" / "mixed"
    assert shelf.last(PLAYED) is None
    kept = stored(RUN)
    file, page = shelf.keep(kept, "a page")
    assert (file.name, page.name) == ("2026-01-02T03-04-05Z.json", "2026-01-02T03-04-05Z.html")
    assert page.read_text() == "a page"
    assert sorted(shelf.folder.iterdir()) == [page, file]
    assert StoredRun.read(file) == shelf.last(PLAYED) == kept


def test_the_last_run_is_the_latest_of_the_very_scenario(repository: Path) -> None:
    shelf = Shelf.of(repository, "mixed", repository.parent / "elsewhere")
    first = stored(RUN)
    second = replace(first, when=first.when + timedelta(minutes=1))
    changed = PLAYED.model_copy(update={"skew": 1.0})
    third = replace(first, when=first.when + timedelta(minutes=2), played=changed)
    for kept in (second, third, first):
        shelf.keep(kept, "")
    assert shelf.last(PLAYED) == second
    assert shelf.last(changed) == third


def test_a_file_is_there_as_a_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "run.json"
    write_whole(file, "before")

    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_whole(file, "after")
    assert file.read_text() == "before"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"when": "2026-01-02"}', RUN.to_json()])
def test_a_broken_file_is_named(repository: Path, text: str) -> None:
    shelf = Shelf.of(repository, "mixed")
    broken = shelf.folder / "2026-01-01T00-00-00Z.json"
    broken.write_text(text)
    with pytest.raises(LoadTestError, match=f"{broken.name}: expected a run that .* remove this"):
        StoredRun.read(broken)
    with pytest.raises(LoadTestError, match=broken.name):
        Past.of(repository, "mixed", PLAYED, compare=broken)
    # As the last run nobody asked for it: it is reported, and the run goes on.
    past = Past.of(repository, "mixed", PLAYED)
    assert past.last is None
    assert broken.name in past.lines[0]


def test_only_like_runs_are_compared(repository: Path) -> None:
    file, _ = Shelf.of(repository, "mixed").keep(stored(RUN), "")
    other = PLAYED.model_copy(update={"skew": 1.0})
    with pytest.raises(LoadTestError, match="got one of 'mixed' with other settings"):
        Past.of(repository, "mixed", other, compare=file)


def test_a_folder_that_cannot_be_made(repository: Path) -> None:
    (repository.parent / "loadtest").write_text("a file")
    with pytest.raises(LoadTestError, match="another with --out"):
        Shelf.of(repository, "mixed")


def test_runs_too_short_to_compare_miss(repository: Path) -> None:
    short = stored(made_run(seconds=5))
    file, _ = Shelf.of(repository, "mixed").keep(short, "")
    later = replace(short, when=short.when + timedelta(minutes=1))
    kept = Past.of(repository, "mixed", PLAYED, compare=file).keep(later)
    assert kept.stored.verdicts[-1].missed == "both runs need 10 s or more"
    (line,) = kept.lines  # one file named and last: compared with once
    assert line.startswith("report: ")
    by_itself = Past.of(repository, "mixed", PLAYED).keep(later)
    assert "against the last run (2026-01-02 03:05): too short" in by_itself.lines


@pytest.fixture
def loadtest(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command, with a run in place of a server and its load."""

    def command(run: RunRecord, *options: str) -> tuple[int, str]:
        server = nullcontext(SimpleNamespace(ports=None, pid=0, token=""))
        monkeypatch.setattr(printed_run, "temporary_server", lambda *_: server)
        monkeypatch.setattr(printed_run, "play", lambda *_, **__: run)
        monkeypatch.setattr(printed_run, "current_release", lambda _: 3)
        objective = repository.parent / "objective.toml"
        objective.write_text("p99_ms = 100")
        arguments = ["loadtest", str(repository), "--scenario", "steady"]
        arguments += ["--objective", str(objective), *options]
        result = CliRunner().invoke(cli, arguments, env={"COLUMNS": "200"})
        assert result.exception is None or isinstance(result.exception, SystemExit), repr(
            result.exception
        )
        return result.exit_code, result.output

    return command


def test_a_regression_fails_and_says_which_and_by_how_much(
    loadtest: Any, repository: Path, tmp_path: Path
) -> None:
    before = stored(RUN, played=find_scenario("steady"))
    file, _ = Shelf(tmp_path).keep(before, "")
    code, said = loadtest(slower(RUN, 1.5), "--compare", str(file))
    assert code == 1
    row = next(line for line in said.splitlines() if "p95 ms against 2026-01-02 03:04" in line)
    assert row.split()[-7:] == ["<=", "x1.05", "x1.50", "x1.50", "to", "x1.50", "(99%)"]
    (page,) = (repository.parent / "loadtest" / "steady").glob("*.html")
    assert f"report: {page}" in said
    kept = json.loads(page.with_suffix(".json").read_text())
    assert sum(bool(verdict["missed"]) for verdict in kept["verdicts"]) == 4
    assert loadtest(RUN, "--compare", str(file))[0] == 0


def test_the_last_capacity_is_on_the_page(loadtest: Any, repository: Path) -> None:
    shelf = Shelf.of(repository, "steady")
    found = Capacity("steady", 100, "", None, (Step(100, 99, 1.0, 2.0, 43.21),))
    write_whole(shelf.capacity, found.to_json())
    assert loadtest(RUN)[0] == 0
    (page,) = shelf.folder.glob("*.html")
    assert "43.21" in page.read_text()
    page.unlink()
    shelf.capacity.write_text("{}")
    code, said = loadtest(RUN)
    assert (code, "without the capacity" in said) == (0, True)


def test_the_last_run_is_for_information_only(loadtest: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shelf = Shelf.of(tmp_path, "steady", out)
    shelf.keep(stored(RUN, played=find_scenario("steady")), "")
    json_file = tmp_path / "run.json"
    slow = slower(RUN, 1.5)
    code, said = loadtest(slow, "--out", str(out), "--json", str(json_file))
    assert code == 0
    assert "against the last run (2026-01-02 03:04): p50 ms x1.50 (x1.50 to x1.50)" in said
    assert StoredRun.read(json_file).run == slow
    assert len(list(shelf.folder.glob("*.html"))) == 2
