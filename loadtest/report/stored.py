"""Runs that are kept: one JSON file each, with its page beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from ensembles.errors import LoadTestError
from loadtest.objective import Objective, Verdict
from loadtest.record import RunRecord
from loadtest.scenario import Scenario

_NAME = "%Y-%m-%dT%H-%M-%SZ"


@dataclass(frozen=True)
class StoredRun:
    """A run with what it takes to read it later.

    Attributes:
        when: it ended, UTC.
        release: that was served.
        played: the scenario as it was then.
        verdicts: on ``objective``.
    """

    when: datetime
    release: int
    played: Scenario
    objective: Objective
    verdicts: tuple[Verdict, ...]
    run: RunRecord

    def to_json(self) -> str:
        """As JSON."""
        fields: dict[str, Any] = {
            "when": self.when.isoformat(timespec="seconds"),
            "release": self.release,
            "played": self.played.model_dump(mode="json"),
            "objective": self.objective.model_dump(mode="json"),
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "run": json.loads(self.run.to_json()),
        }
        return json.dumps(fields)

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file that ``keep`` wrote.

        Raises:
            LoadTestError: it cannot be read, or holds something else.
        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                when=datetime.fromisoformat(fields["when"]),
                release=int(fields["release"]),
                played=Scenario(**fields["played"]),
                objective=Objective(**fields["objective"]),
                verdicts=tuple(Verdict(**verdict) for verdict in fields["verdicts"]),
                run=RunRecord.from_json(json.dumps(fields["run"])),
            )
        except (OSError, ValueError, KeyError, TypeError, LoadTestError) as e:
            raise LoadTestError(
                f"{path}: expected a run that `millirank loadtest --scenario` kept, got {e!r}; "
                "name another file, or remove this one"
            ) from e


@dataclass(frozen=True)
class Shelf:
    """The kept runs of one scenario."""

    folder: Path

    @classmethod
    def of(cls, repository: Path, scenario: str, out: Path | None = None) -> Self:
        """Beside the repository, or in ``out``; the folder is made here, before a long run.

        Raises:
            LoadTestError: the folder cannot be made.
        """
        folder = (out or repository.resolve().parent / "loadtest") / Path(scenario).stem
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise LoadTestError(
                f"expected a folder for runs at {folder}, got: {e}; name another with --out"
            ) from e
        return cls(folder)

    def last(self, played: Scenario) -> StoredRun | None:
        """The latest run of the scenario as it is now.

        Raises:
            LoadTestError: a later one cannot be read.
        """
        return next((run for run in self._latest_first() if run.played == played), None)

    @property
    def capacity(self) -> Path:
        """Where the last search for the scenario's limit is kept; beside the folder."""
        return self.folder.with_name(f"{self.folder.name}-capacity.json")

    def _latest_first(self) -> Iterator[StoredRun]:
        for path in sorted(self.folder.glob("*.json"), reverse=True):
            yield StoredRun.read(path)

    def keep(self, stored: StoredRun, page: str) -> tuple[Path, Path]:
        """Write the run and its page; the two files."""
        base = self.folder / stored.when.strftime(_NAME)
        files = base.with_suffix(".json"), base.with_suffix(".html")
        for file, text in zip(files, (stored.to_json(), page), strict=True):
            write_whole(file, text)
        return files


def write_whole(file: Path, text: str) -> None:
    """Write a file so that it is there as a whole or not at all."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)
