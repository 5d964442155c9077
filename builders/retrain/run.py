"""A retraining: build with what was recorded, compare, publish what is not worse."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from builders.built import Built, build_checked
from builders.publish.release import publish
from builders.publish.trained_on import NAME, TrainedOn
from builders.publish.tuned import settings_of
from builders.retrain.comparison import Comparison
from builders.retrain.recorded import Recorded, read_recorded
from builders.retrain.task import Task
from builders.retrain.window import Window
from builders.stages import Log, build_lock
from ensembles.errors import DataError
from serving.manifest import check, read_manifest
from serving.repository import current_release, releases
from serving.version_folders import shelf_of

JOURNAL = "retrain.jsonl"
"""Beside the repository: a line for each comparison, whatever came of it."""
RETRAINED = "retrained"
"""In the manifest: the comparison that let the release be published."""


class Outcome(Enum):
    """How a retraining ended."""

    NOTHING_TO_DO = "nothing to do"
    PUBLISHED = "published"
    NOT_BETTER = "not better"


def retrain(
    task: Task, exported: Path, command: str, log: Log, *, full: bool = False, current: bool = False
) -> Outcome:
    """Follow the current release with one that knows the recorded events, if it is not worse.

    Args:
        exported: folder that `millirank events export` writes into.
        command: what makes the release again, for its manifest.
        full: train from scratch, not from the weights of the current release.
        current: make the new release the one that servers start with; else it waits for
            `millirank release`.

    Raises:
        MillirankError: another build or retraining runs in the folder; events cannot be read;
            whatever the stages of a build raise.
    """
    with build_lock(task.folder):
        release = current_release(task.repository)
        known = TrainedOn.from_manifest(check(task.repository, release))
        if not current and (waiting := [r for r in releases(task.repository) if r > release]):
            log(f"release {waiting[-1]} waits; promote it, or take it back, with millirank release")
            return Outcome.NOTHING_TO_DO
        recorded = read_recorded(exported, task.settings)
        cut = _cut(task, recorded, known, release, log)
        if cut is None:
            return Outcome.NOTHING_TO_DO
        count = recorded.write_until(cut, task.snapshot)
        built = build_checked(task.build_settings(release, full=full), task.folder, command, log)
        found = _compare(task, built, recorded, cut, release)
        trained = TrainedOn.of(built.dataset(), count)
        trained = replace(trained, newest=cut, exported=len(recorded))
        refused = _refusal(task, built, found)
        number = 0
        if not refused:
            compared = {"current": release, **found.to_json()}
            about = {**built.manifest(), NAME: trained.to_json(), RETRAINED: compared}
            number = publish(built.checked, task.repository, built.settings, about, current=current)
        _say(task, release, number, found, refused, log)
        return Outcome.PUBLISHED if number else Outcome.NOT_BETTER


def _cut(task: Task, recorded: Recorded, known: TrainedOn, release: int, log: Log) -> int | None:
    """The last second to learn from, or None where there is nothing to do, which is said."""
    arrived = len(recorded) - known.exported
    if arrived < 0:
        raise DataError(
            f"release {release} was made when {known.exported:,} events were exported, but the "
            f"folder holds {len(recorded):,}; put the missing files back, they are the log"
        )
    log(f"{arrived:,} new events since release {release}, of {len(recorded):,}")
    if not arrived:
        return None
    wanted = task.settings.feedback.min_events
    if arrived < wanted:
        log(f"fewer than feedback.min_events = {wanted:,}; they are left for the next time")
        return None
    cut = recorded.cut(known.newest, task.settings.feedback)
    if cut is None:
        log(
            "too few of them can be used and are later than what the release knows, to learn from "
            "some and compare on others; they are left for the next time"
        )
    return cut


def _compare(task: Task, built: Built, recorded: Recorded, cut: int, release: int) -> Comparison:
    data = built.dataset()
    if int(data.timestamp.max()) > cut:
        raise DataError(
            f"{task.settings.data.path or 'the log'} has events later than the recorded ones that "
            "are held out: the new release would be judged by what it was trained on; end the log "
            "before the first recorded event, or make a release of it with 'millirank build'"
        )
    window = Window.of(data, recorded, cut)
    old = window.gains(task.repository, release, settings_of(task.repository, release))
    new = window.gains(built.checked, 1, built.settings)
    settings = built.settings
    return Comparison.of(window, old, new, cut, settings.feedback.tolerance, settings.train.seed)


def _refusal(task: Task, built: Built, found: Comparison) -> str:
    """Why the build is not published, or an empty string."""
    shelf = shelf_of(task.repository)
    for release in releases(shelf):
        if read_manifest(shelf, release).get("build_key") == built.key:
            return f"this very build was release {release}, which was taken back"
    if not found.not_worse:
        return "it may be worse by more than feedback.tolerance"
    return ""


def _say(task: Task, release: int, number: int, found: Comparison, refused: str, log: Log) -> None:
    """Either way, to the terminal and to the journal."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "current": release,
        "published": number or None,
        "refused": refused or None,
        **found.to_json(),
    }
    try:
        with (task.folder / JOURNAL).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(line) + "\n")
    except OSError as e:  # What was decided is done already.
        log(f"{task.folder / JOURNAL} cannot be written: {e.strerror}")
    log(f"release {release} -> the new one, on {found.summary()}")
    if refused:
        log(f"not published: {refused}; release {release} stays")
    elif current_release(task.repository) == number:
        log(f"published release {number} in {task.repository}; servers that start serve it")
    else:
        log(
            f"published release {number} in {task.repository}; release {release} is served until "
            f"'millirank release stage' and 'promote'"
        )
