"""The event log of a user state, read with the code of the model ``record``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensembles.errors import DataError
from ensembles.step_code import load_step

_RECORD = Path(__file__).resolve().parents[1] / "model_repository" / "record" / "1"


@dataclass(frozen=True)
class EventLog:
    """An open log.

    Attributes:
        raw: ``record_step.log.EventLog``; meanings are there.
        row_of: turns a line into a row by column.
    """

    raw: Any
    row_of: Callable[[bytes], dict[str, Any]]

    @contextmanager
    def after(self, place: str) -> Iterator[Iterator[tuple[str, bytes]]]:
        """Places and lines of the events after one, oldest first."""
        with closing(self.raw.after(place)) as lines:
            yield lines


@contextmanager
def event_log(url: str) -> Iterator[EventLog]:
    """The log of the user state at ``url``; a relative ``lmdb://`` folder starts here.

    Raises:
        DataError: the URL is wrong, or the log cannot be read or written; also in the block.
    """
    code = load_step(_RECORD)
    try:
        with closing(code.open_log(url, Path.cwd())) as raw:
            yield EventLog(raw, code.row_of)
    except ValueError as e:
        raise DataError(f"event log: {e}") from e
