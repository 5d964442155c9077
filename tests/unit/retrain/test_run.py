"""A retraining around a build that is made by hand: what is published, and when nothing is done."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from builders.publish.trained_on import NAME
from builders.retrain import run
from builders.retrain.run import JOURNAL, Outcome
from builders.retrain.task import Task
from builders.stages import build_lock
from ensembles.errors import BuildError, DataError, ReleaseError, SettingsError
from serving.manifest import check
from serving.repository import current_release, releases
from serving.version_folders import shelve
from tests.unit.retrain.bench import Bench
from tests.unit.retrain.exported import export
from tests.unit.retrain.tiny_log import CUT


def test_a_release_that_is_not_worse_is_published_and_waits(bench: Bench) -> None:
    assert bench.retrain() is Outcome.PUBLISHED
    repository = bench.task.repository
    assert (releases(repository), current_release(repository)) == ([1, 2], 1)
    manifest = check(repository, 2)
    window = [seconds for *_, seconds in bench.made.events if seconds > manifest[NAME]["newest"]]
    assert len(window) == 48  # of 60, feedback.window = 0.8
    assert manifest[NAME] == {
        "newest": CUT + 12, "events": bench_events(bench), "recorded": 12, "exported": 60
    }  # fmt: skip
    assert manifest["data"].keys() == {"log.csv", "feedback.parquet"}
    assert manifest["retrained"]["current"] == 1
    assert manifest["retrained"]["before"] > 0.5  # They took the best.
    assert manifest["retrained"]["quality"]["change"] == 0
    assert bench.lines[0] == "60 new events since release 1, of 60"
    assert bench.lines[-1].startswith(f"published release 2 in {repository}; release 1 is served")
    assert [line["published"] for line in bench.journal] == [2]
    learned = pq.read_table(bench.task.snapshot)["item_id"].to_pylist()
    assert learned == [item for _, item, _, _ in bench.made.events[:12]]


def bench_events(bench: Bench) -> int:
    """Of the log."""
    return len((bench.made.folder / "log.csv").read_text().splitlines()) - 1


def test_a_worse_release_is_not_published_and_that_is_said(bench: Bench) -> None:
    bench.new, bench.key = bench.made.bad, "served_check-2"
    assert bench.retrain() is Outcome.NOT_BETTER
    assert releases(bench.task.repository) == [1]
    assert "not published: it may be worse" in bench.lines[-1]
    assert bench.journal[0]["quality"]["high"] < -0.5
    assert bench.journal[0]["published"] is None
    # Nothing has changed: the same again.
    assert bench.retrain() is Outcome.NOT_BETTER


def test_it_starts_from_the_current_release_or_from_nothing(bench: Bench) -> None:
    bench.retrain()
    (asked,) = bench.asked
    assert asked.train.warm_start == str(bench.task.repository / "ranker" / "1")
    assert asked.data.feedback == str(bench.task.snapshot)
    shutil.rmtree(bench.task.repository / "recommend" / "2")
    bench.retrain(full=True)
    assert bench.asked[1].train.warm_start == ""


def test_a_release_may_be_made_current_at_once(bench: Bench) -> None:
    assert bench.retrain(current=True) is Outcome.PUBLISHED
    assert current_release(bench.task.repository) == 2
    assert "servers that start serve it" in bench.lines[-1]
    # What it knows is no news, and neither is what it was compared on.
    assert bench.retrain() is Outcome.NOTHING_TO_DO
    assert bench.lines == ["0 new events since release 2, of 60"]
    assert len(bench.asked) == 1


def test_the_next_one_learns_from_the_window_before_it(bench: Bench) -> None:
    bench.retrain(current=True)
    more = [("user-0", f"item-{n}", "view", CUT + 100 + n) for n in range(1, 30)]
    export(bench.exported, more, "events-2")
    bench.retrain()
    assert bench.lines[0] == "29 new events since release 2, of 89"
    learned = pq.read_table(bench.task.snapshot).num_rows
    assert 12 < learned < 89


def test_while_a_release_waits_there_is_nothing_to_do(bench: Bench) -> None:
    bench.retrain()
    assert bench.retrain() is Outcome.NOTHING_TO_DO
    assert bench.lines == ["release 2 waits; promote it, or take it back, with millirank release"]
    assert bench.retrain(current=True) is Outcome.PUBLISHED


def test_what_was_taken_back_is_not_published_again(bench: Bench) -> None:
    bench.retrain()
    shelve(bench.task.repository, 2)
    assert bench.retrain() is Outcome.NOT_BETTER
    assert "this very build was release 2, which was taken back" in bench.lines[-1]
    bench.key = "served_check-3"
    assert bench.retrain() is Outcome.PUBLISHED


def test_a_journal_that_cannot_be_written_changes_nothing(bench: Bench) -> None:
    (bench.task.folder / JOURNAL).mkdir()
    assert bench.retrain() is Outcome.PUBLISHED
    assert any("retrain.jsonl cannot be written: Is a directory" in line for line in bench.lines)


def no_events(bench: Bench) -> None:
    shutil.rmtree(bench.exported)
    bench.exported.mkdir()


def few_events(bench: Bench) -> None:
    feedback = bench.settings.feedback.model_copy(update={"min_events": 61})
    settings = bench.settings.model_copy(update={"feedback": feedback})
    bench.task = Task(settings, bench.task.repository)


def old_events(bench: Bench) -> None:
    no_events(bench)
    export(bench.exported, [("user-0", "item-1", "view", 5)])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (no_events, "0 new events since release 1, of 0"),
        (few_events, "fewer than feedback.min_events = 61"),
        (old_events, "left for the next time"),
    ],
)
def test_nothing_to_do_is_said(bench: Bench, change: Callable[[Bench], None], said: str) -> None:
    change(bench)
    assert bench.retrain() is Outcome.NOTHING_TO_DO
    assert said in bench.lines[-1]
    assert not bench.asked
    assert not (bench.task.folder / JOURNAL).exists()


def test_exported_files_that_are_gone_are_missed(bench: Bench) -> None:
    bench.retrain(current=True)
    no_events(bench)
    with pytest.raises(DataError, match="release 2 was made when 60 events .* holds 0; put"):
        bench.retrain()


def test_a_log_that_reaches_into_the_window_is_refused(bench: Bench) -> None:
    bench.dataset = bench.folder / "dataset"
    shutil.copytree(bench.made.folder / "dataset", bench.dataset)
    times = bench.dataset / "timestamp.npy"
    np.save(times, np.load(times) + CUT + 50)
    with pytest.raises(DataError, match="log.csv has events later than the recorded ones"):
        bench.retrain()
    assert releases(bench.task.repository) == [1]


def test_a_release_that_does_not_say_what_it_knows(bench: Bench) -> None:
    bench.publish_first({})
    with pytest.raises(ReleaseError, match="release 2 does not say what it was trained on"):
        bench.retrain()


def test_two_cannot_run(bench: Bench) -> None:
    with (
        build_lock(bench.task.folder),
        pytest.raises(BuildError, match="another build is running"),
    ):
        bench.retrain()


def test_killed_before_it_is_published_it_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.retrain()
    first = bench.task.snapshot.read_bytes()
    assert bench.retrain() is Outcome.PUBLISHED
    assert bench.task.snapshot.read_bytes() == first
    assert bench.asked[0] == bench.asked[1]


def test_settings_come_from_a_file_or_from_the_current_release(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    of_repository = Task.of(bench.task.repository, data="elsewhere.csv")
    assert of_repository.settings.data.path == "elsewhere.csv"
    assert of_repository.folder == bench.task.folder
    assert Task.of(bench.task.repository) == bench.task
    config = tmp_path / "x.toml"
    config.write_text('name = "x"\n[data]\nformat = "csv"\n')
    assert Task.of(config).repository == Path("build/x/repository")
    assert Task.of(config, out=Path("there"), data="log").settings.data.path == "log"
    with pytest.raises(SettingsError, match="--out goes with a TOML file; .* is a repository"):
        Task.of(bench.task.repository, out=Path("there"))
