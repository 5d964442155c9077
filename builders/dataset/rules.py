"""Cleaning rules as data: each is a name and an Ibis expression that is true for bad rows.

Rules on a row look at that row only, so all of them run in one pass. Rules on the log count or
compare rows with window functions, each on what the rules before it left. Nothing here is
specific to DuckDB: the same expressions run on Spark.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import ibis
from ibis.expr.types import BooleanValue, IntegerValue, StringValue, Table

from builders.dataset.settings import Clean, Columns, Data
from ensembles.contracts import LIMITS
from ensembles.errors import SettingsError

_FARTHEST = 1e15
"""Seconds beyond this are no time: the range in which floats are exact ends soon after."""


@dataclass(frozen=True)
class Rule:
    """``bad`` gives a boolean column for a table of parsed events; null counts as good."""

    name: str
    bad: Callable[[Table], BooleanValue]


def _bit_length(text: str) -> int:
    return 8 * len(text.encode())


_bits: Callable[[StringValue], IntegerValue] = ibis.udf.scalar.builtin(
    _bit_length,  # only its name and types count: DuckDB and Spark have a function of this name
    name="bit_length",
)


def parse(events: Table, data: Data, columns: Columns) -> Table:
    """Add what the rules look at; ids lose blanks around them.

    New columns, null where the text does not parse: ``seconds`` int64 (seconds since the epoch
    from a number or an ISO 8601 date; the row number where the source has no time), ``number``
    float64 (the value), ``weight`` float64 (by event type; 1 where no weights are set).

    Raises:
        SettingsError: event weights without an event column, or a weight that is not positive.
    """
    weights = data.event_weights
    if weights and not columns.event:
        raise SettingsError("event_weights are set, but [data.columns] event names no column")
    wrong = {name: weight for name, weight in weights.items() if not 0 < weight < float("inf")}
    if wrong:
        raise SettingsError(f"event_weights must be above 0; got {wrong}")
    weight = (
        events.event.strip().cases(*weights.items(), else_=ibis.null("float64"))
        if weights
        else ibis.literal(1.0)
    )
    return events.mutate(
        user=events.user.strip(),
        item=events.item.strip(),
        seconds=seconds_of(events.timestamp) if columns.timestamp else events.row,
        number=events.value.strip().try_cast("float64"),
        weight=weight.cast("float64"),
    )


def seconds_of(text: StringValue) -> IntegerValue:
    """Seconds since the epoch of a number or an ISO 8601 date; null where it is neither."""
    number = text.strip().try_cast("float64")
    number = number.between(-_FARTHEST, _FARTHEST).ifelse(number, ibis.null("float64"))
    # The pattern keeps out words that a backend accepts as a time ("infinity", "epoch").
    iso = text.strip().like("____-__-__%").ifelse(text.strip(), ibis.null("string"))
    # Truncated, because backends differ in how they round a fraction of a second.
    written = iso.try_cast("timestamp('UTC')").truncate("s").epoch_seconds()
    seconds: IntegerValue = ibis.coalesce(number.floor().cast("int64"), written)
    return seconds


def row_rules(clean: Clean, data: Data, columns: Columns, now: int | None = None) -> list[Rule]:
    """Rules that look at one row; the first that fits gives the reason.

    Args:
        now: seconds since the epoch, for the rule on future events (None: the clock).
    """
    rules = [Rule("missing id", lambda t: _missing(t.user) | _missing(t.item))]
    rules += [Rule(f"id over {LIMITS.id_bytes} bytes", lambda t: _long(t.user) | _long(t.item))]
    if columns.timestamp:
        limit = clean.max_timestamp
        limit = int(time.time() if now is None else now) if limit is None else limit
        rules += [
            Rule("unparsable timestamp", lambda t: t.seconds.isnull()),
            Rule("future timestamp", lambda t: t.seconds > limit),
        ]
    if columns.value:
        rules += _value_rules(clean)
    if data.event_weights:
        rules += [Rule("unknown event type", lambda t: t.weight.isnull())]
    return rules


def log_rules(clean: Clean, columns: Columns) -> list[Rule]:
    """Rules that compare rows, in the order in which they run."""
    rules = []
    if columns.timestamp:
        rules += [Rule("exact duplicate", _exact_duplicate)]
    if columns.timestamp and clean.near_duplicate_seconds:
        within = clean.near_duplicate_seconds
        rules += [Rule("near duplicate", lambda t: _since_last(t) <= within)]
    if not clean.keep_repeats:
        rules += [Rule("repeat", lambda t: _nth(t, ["user", "item"], ["seconds", "row"]) > 0)]
    return [*rules, Rule("abusive user", lambda t: _abusive(t, clean.abusive_factor))]


def core_rules(clean: Clean) -> list[Rule]:
    """The two halves of the k-core: repeated until neither takes a row."""
    users, items = clean.min_user_events, clean.min_item_events
    return [
        Rule(f"item with fewer than {items} events", lambda t: _size(t, "item") < items),
        Rule(f"user with fewer than {users} events", lambda t: _size(t, "user") < users),
    ]


def _value_rules(clean: Clean) -> list[Rule]:
    def unparsable(t: Table) -> BooleanValue:
        given = t.value.strip().fill_null("") != ""
        return given & (t.number.isnull() | t.number.isnan() | t.number.isinf())

    rules = [Rule("unparsable value", unparsable)]
    low, high = clean.value_min, clean.value_max
    if low is not None or high is not None:
        # A missing value cannot be shown to lie in the range, so it does not.
        least = float("-inf") if low is None else low
        most = float("inf") if high is None else high
        rules += [
            Rule("value out of range", lambda t: ~t.number.between(least, most).fill_null(False))
        ]
    return rules


def _missing(ids: StringValue) -> BooleanValue:
    return ids.fill_null("") == ""


def _long(ids: StringValue) -> BooleanValue:
    """Longer than a request may send: nobody could ever ask for it."""
    too_long: BooleanValue = _bits(ids) > 8 * LIMITS.id_bytes
    return too_long


def _nth(t: Table, group: list[str], order: list[str]) -> IntegerValue:
    """0 for the first row of a group, 1 for the second, and so on."""
    return ibis.row_number().over(
        group_by=[t[name] for name in group], order_by=[t[name] for name in order]
    )


def _exact_duplicate(t: Table) -> BooleanValue:
    return _nth(t, ["user", "item", "seconds", "event", "value"], ["row"]) > 0


def _since_last(t: Table) -> IntegerValue:
    """Seconds since the event before of the same kind: a burst of any length counts once."""
    last = t.seconds.lag().over(group_by=["user", "item", "event"], order_by=["seconds", "row"])
    since: IntegerValue = t.seconds - last
    return since


def _size(t: Table, column: str) -> IntegerValue:
    return t.count().over(group_by=column)


def _abusive(t: Table, factor: float) -> BooleanValue:
    sizes = t.group_by("user").aggregate(size=t.count())
    ordinary = sizes.aggregate(ordinary=sizes.size.quantile(0.99)).ordinary.as_scalar()
    return _size(t, "user") > ordinary * factor
