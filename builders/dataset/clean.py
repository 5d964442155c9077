"""Run the cleaning rules and account for every row: rows in = rows kept + rows rejected."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ibis
from ibis.expr.types import Table

from builders.dataset.rules import Rule, core_rules, log_rules, parse, row_rules
from builders.dataset.settings import Data
from builders.dataset.sources import RECORDED, Source
from builders.settings import Settings
from ensembles.errors import BuildError, DataError
from ensembles.record import EVENT_WEIGHTS

_RAW = ("row", "user", "item", "timestamp", "event", "value")


@dataclass(frozen=True)
class Cleaned:
    """What is left of a log.

    Attributes:
        events: ``user``, ``item`` text, ``seconds`` int64, ``weight`` float64, ``row`` int64.
        rows_in: rows of the source, malformed lines included.
        taken: rule and number of rows that it took, in the order in which the rules ran.
    """

    events: Table
    rows_in: int
    taken: list[tuple[str, int]]


class _Sieve:
    """Rows that are left, and rejected rows with their reasons."""

    def __init__(self, source: Source, settings: Settings) -> None:
        malformed = source.malformed
        lost = {name: ibis.null("int64" if name == "row" else "string") for name in _RAW}
        self.left = parse(source.events, settings.data, source.columns)
        self.rejected = [
            malformed.select(**lost, line=malformed.text, reason=ibis.literal("malformed line"))
        ]
        self.taken = {"malformed line": _count(malformed)}
        self.rows_in = _count(source.events) + self.taken["malformed line"]

    def add(self, events: Table, rules: Sequence[Rule]) -> None:
        """Let more parsed events join those that are left, by rules of their own."""
        others, self.left = self.left, events
        self.rows_in += _count(events)
        self.run(rules)
        self.left = ibis.union(others, self.left)

    def run(self, rules: Sequence[Rule]) -> int:
        """Apply rules in one pass, the first that fits gives the reason; how many rows went."""
        reason = ibis.cases(*((rule.bad(self.left), rule.name) for rule in rules))
        marked = self.left.mutate(reason=reason).cache()
        bad = marked.filter(marked.reason.notnull())
        counts = bad.group_by("reason").aggregate(rows=bad.count()).to_pyarrow().to_pylist()
        rows = {count["reason"]: int(count["rows"]) for count in counts}
        for rule in rules:
            self.taken[rule.name] = self.taken.get(rule.name, 0) + rows.get(rule.name, 0)
        if rows:
            self.rejected += [bad.select(*_RAW, line=ibis.null("string"), reason=bad.reason)]
        self.left = marked.filter(marked.reason.isnull()).drop("reason")
        return sum(rows.values())

    def run_to_fixed_point(self, rules: Sequence[Rule]) -> None:
        """Apply rules in turn until none takes a row; one that ran last is satisfied."""
        satisfied = 0
        for rule in itertools.cycle(rules):
            satisfied = 1 if self.run([rule]) else satisfied + 1
            if satisfied >= len(rules):
                return


def clean(source: Source, settings: Settings, rejects: Path, now: int | None = None) -> Cleaned:
    """Apply every rule of ``[clean]``, and write rejected rows to the Parquet file ``rejects``.

    The file has ``user``, ``item``, ``timestamp``, ``event``, ``value`` as read (ids without
    blanks around them), ``row`` (position among the lines that split into columns, from 0), the
    text of a malformed ``line``, and the ``reason``.

    Raises:
        DataError: no row is left; says which rule took the most and shows one such row.
        BuildError: the rows do not add up.
    """
    sieve = _Sieve(source, settings)
    sieve.run(row_rules(settings.clean, settings.data, source.columns, now))
    if source.feedback is not None:
        data = recorded(settings)
        events = parse(source.feedback, data, RECORDED)
        sieve.add(events, row_rules(settings.clean, data, RECORDED, now))
    for rule in log_rules(settings.clean, source.columns):
        sieve.run([rule])
    sieve.run_to_fixed_point(core_rules(settings.clean))
    everything = ibis.union(*sieve.rejected).order_by("row").cache()
    everything.to_parquet(rejects)
    kept = _count(sieve.left)
    written = _count(everything)
    if kept + written != sieve.rows_in:
        raise BuildError(
            f"cleaning lost count: {sieve.rows_in:,} rows in, {kept:,} kept, {written:,} rejected"
        )
    if not kept:
        raise DataError(_nothing_left(sieve, everything))
    events = sieve.left.select("user", "item", "seconds", "weight", "row")
    return Cleaned(events, sieve.rows_in, list(sieve.taken.items()))


def recorded(settings: Settings) -> Data:
    """What parses recorded events, which always have a type."""
    weights = settings.data.event_weights or {n: w for n, w in EVENT_WEIGHTS.items() if w}
    return settings.data.model_copy(update={"event_weights": weights})


def _count(table: Table) -> int:
    return int(table.count().to_pyarrow().as_py())


def _nothing_left(sieve: _Sieve, rejected: Table) -> str:
    rule = max(sieve.taken, key=lambda name: sieve.taken[name])
    row = rejected.filter(rejected.reason == rule).order_by("row").limit(1).to_pyarrow()
    example = {name: text for name, text in row.to_pylist()[0].items() if text is not None}
    del example["reason"]
    return (
        f"cleaning left none of {sieve.rows_in:,} rows; the rule '{rule}' took the most "
        f"({sieve.taken[rule]:,}), for example {example}; check [data.columns] and [clean] "
        "(times are seconds or ISO dates)"
    )
