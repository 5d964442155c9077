"""The runs that a new one is set against, and where it is kept itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from ensembles.errors import LoadTestError
from loadtest.capacity import Capacity, Step
from loadtest.report.comparison import Comparison, read_other
from loadtest.report.stored import Shelf, StoredRun
from loadtest.scenario import Scenario

LAST = "the last run"


@dataclass(frozen=True)
class Kept:
    """A run with all of its verdicts, and what is to be printed below them."""

    stored: StoredRun
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Past:
    """All that has to be read before a run, so that a fault in it costs no run.

    Attributes:
        last: is compared with for information only.
        named: file and run to compare with; a regression against it is missed.
        curve: of the last search for the scenario's limit, by rising rate.
        lines: what could not be read.
    """

    shelf: Shelf
    last: StoredRun | None
    named: tuple[str, StoredRun] | None
    curve: tuple[Step, ...]
    lines: tuple[str, ...]

    @classmethod
    def of(
        cls,
        repository: Path,
        name: str,
        scenario: Scenario,
        *,
        out: Path | None = None,
        compare: Path | None = None,
    ) -> Self:
        """Of one scenario.

        Raises:
            LoadTestError: ``compare`` cannot be read or compared with, or there is no folder.
        """
        named = (compare.name, read_other(compare, scenario)) if compare else None
        shelf = Shelf.of(repository, name, out)
        # What nobody asked for is no reason to stop.
        last: StoredRun | None = None
        curve: tuple[Step, ...] = ()
        lines: list[str] = []
        try:
            last = shelf.last(scenario)
        except LoadTestError as e:
            lines.append(f"not compared with {LAST}: {e}")
        try:
            curve = _curve(shelf.capacity)
        except LoadTestError as e:
            lines.append(f"without the capacity in {shelf.capacity}: {e}")
        again = named is not None and last == named[1]
        return cls(shelf, None if again else last, named, curve, tuple(lines))

    def keep(self, stored: StoredRun) -> Kept:
        """Compare, and write the run with its page."""
        from loadtest.report.page import page

        compared = []
        if self.named:
            compared.append(Comparison.of(*self.named, stored))
            judged = (*stored.verdicts, *compared[0].verdicts())
            stored = replace(stored, verdicts=judged)
        lines = list(self.lines)
        if self.last:
            compared.append(Comparison.of(LAST, self.last, stored))
            lines.append(compared[-1].line())
        _, html = self.shelf.keep(stored, page(stored, compared, self.curve))
        return Kept(stored, (*lines, f"report: {html}"))


def _curve(file: Path) -> tuple[Step, ...]:
    if not file.is_file():
        return ()
    steps = Capacity.from_json(file.read_text(encoding="utf-8")).steps
    return tuple(sorted(steps, key=lambda step: step.offered))
