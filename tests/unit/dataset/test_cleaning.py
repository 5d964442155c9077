"""Each rule takes the rows that it should, with its reason, and every row is accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis
import pyarrow.parquet as pq
import pytest

from builders.dataset.build import REJECTS, build_dataset
from builders.dataset.rules import core_rules, log_rules, parse, row_rules
from builders.dataset.settings import Clean, Columns, Data
from ensembles.errors import SettingsError
from tests.unit.dataset.conftest import LOOSE, block, events, settings_for, silent

Write = Callable[..., Path]
HEADER = "user_id,item_id,timestamp,kind,value"
COLUMNS = {"event": "kind", "value": "value"}


def _reasons(out: Path) -> Counter[str]:
    return Counter(pq.read_table(out / REJECTS)["reason"].to_pylist())


def _rejected(path: Path, out: Path, **sections: Any) -> Counter[str]:
    sections = {"clean": {}, **sections}
    sections["clean"] = {**LOOSE, **sections["clean"]}
    build_dataset(settings_for(path, **sections), out, silent)
    return _reasons(out)


GOOD = [(*row, "view", 3) for row in block()]


BAD: list[tuple[tuple[Any, ...], str]] = [
    (("", "i0", 5, "view", 3), "missing id"),
    (("u0", "  ", 5, "view", 3), "missing id"),
    (("u" * 257, "i0", 5, "view", 3), "id over 256 bytes"),
    (("u0", "é" * 129, 5, "view", 3), "id over 256 bytes"),
    (("u0", "i0", "", "view", 3), "unparsable timestamp"),
    (("u0", "i0", "soon", "view", 3), "unparsable timestamp"),
    (("u0", "i0", "nan", "view", 3), "unparsable timestamp"),
    (("u0", "i0", "infinity", "view", 3), "unparsable timestamp"),
    (("u0", "i0", "epoch", "view", 3), "unparsable timestamp"),
    (("u0", "i0", "1e300", "view", 3), "unparsable timestamp"),
    (("u0", "i0", "2020-13-01", "view", 3), "unparsable timestamp"),
    (("u0", "i0", 9_999_999_999, "view", 3), "future timestamp"),
    (("u0", "i0", "2999-01-01T00:00:00Z", "view", 3), "future timestamp"),
    (("u0", "i0", 5, "view", "good"), "unparsable value"),
    (("u0", "i0", 5, "view", "inf"), "unparsable value"),
    (("u0", "i0", 5, "view", 6), "value out of range"),
    (("u0", "i0", 5, "view", ""), "value out of range"),
    (("u0", "i0", 5, "stare", 3), "unknown event type"),
    (("u0", "i0", 5, "", 3), "unknown event type"),
    (("u0", "i0", 1000, "view", 3), "exact duplicate"),
    (("u0", "i0", 1007, "view", 3), "near duplicate"),
    (("u0", "i0", 5, "view"), "malformed line"),
    (("u0", "i0", 5, "view", 3, "more"), "malformed line"),
    (("u0", '"i"0', 5, "view", 3), "malformed line"),
]


def test_bad_rows_are_kept_with_their_reasons(tmp_path: Path, write_csv: Write) -> None:
    path = write_csv([*GOOD, *(row for row, _ in BAD)], header=HEADER)
    data = {"event_weights": {"view": 1.0, "buy": 4.0}}
    clean = {"value_min": 1, "value_max": 5, "near_duplicate_seconds": 10}
    found = _rejected(path, tmp_path / "out", data=data, columns=COLUMNS, clean=clean)
    assert found == Counter(reason for _, reason in BAD)
    kept = pq.read_table(tmp_path / "out" / REJECTS).to_pylist()
    lines = {(row["line"], row["reason"]) for row in kept if row["line"]}
    malformed = [row for row, reason in BAD if reason == "malformed line"]
    assert lines == {(",".join(map(str, row)), "malformed line") for row in malformed}
    whole = [(row, reason) for row, reason in BAD if reason != "malformed line"]
    for number, (row, reason) in enumerate(whole, start=len(GOOD)):
        mine = next(reject for reject in kept if reject["row"] == number)
        text = [mine[name] or "" for name in ("user", "item", "timestamp", "event", "value")]
        assert (text, mine["reason"]) == ([str(part).strip() for part in row], reason)


def test_times(tmp_path: Path, write_csv: Write) -> None:
    times = {
        "5": 5,
        " 5.9 ": 5,
        "-1.5": -2,
        "8.8125e8": 881_250_000,
        "1970-01-02": 86_400,
        "1970-01-01 00:01:00": 60,
        "1970-01-01T02:00:00+01:00": 3_600,
        "1970-01-01T00:00:07Z": 7,
        "1970-01-01T00:00:08.9": 8,
    }
    rows = [("u", f"at {seconds}", written) for written, seconds in times.items()]
    dataset = build_dataset(settings_for(write_csv(rows), clean=LOOSE), tmp_path / "out", silent)
    found = {item: seconds for _, item, seconds in events(dataset)}
    assert found == {f"at {seconds}": seconds for seconds in times.values()}


def test_weights_by_event_type(tmp_path: Path, write_csv: Write) -> None:
    rows = [("u", "a", 1, "view"), ("u", "b", 2, "buy"), ("u", "c", 3, "view")]
    path = write_csv(rows, header="user_id,item_id,timestamp,kind")
    settings = settings_for(
        path,
        clean=LOOSE,
        columns={"event": "kind"},
        data={"event_weights": {"view": 0.5, "buy": 4}},
    )
    assert build_dataset(settings, tmp_path / "out", silent).weight.tolist() == [0.5, 4.0, 0.5]


@pytest.mark.parametrize(
    ("weights", "columns", "sentence"),
    [
        ({"view": 1.0}, {}, "event names no column"),
        ({"kind": 0.0}, {"event": "item_id"}, "must be above 0"),
    ],
)
def test_weights_that_cannot_be(
    tmp_path: Path,
    write_csv: Write,
    weights: dict[str, float],
    columns: dict[str, str],
    sentence: str,
) -> None:
    settings = settings_for(write_csv(block()), columns=columns, data={"event_weights": weights})
    with pytest.raises(SettingsError, match=sentence):
        build_dataset(settings, tmp_path / "out", silent)


def test_a_burst_counts_once_and_another_kind_is_no_duplicate(
    tmp_path: Path, write_csv: Write
) -> None:
    burst = [("u0", "z", t, "view", 3) for t in (50, 55, 60, 65, 99)]
    other = [("u0", "z", 51, "buy", 3)]
    path = write_csv([*GOOD, *burst, *other], header=HEADER)
    clean = {"near_duplicate_seconds": 5}
    reasons = _rejected(path, tmp_path / "out", columns=COLUMNS, clean=clean)
    assert reasons == {"near duplicate": 3}


def test_repeats_go_when_asked(tmp_path: Path, write_csv: Write) -> None:
    rows = [*block(), ("u0", "i0", 9000), ("u0", "i0", 5)]
    path = write_csv(rows)
    assert _rejected(path, tmp_path / "keep") == {}
    assert _rejected(path, tmp_path / "out", clean={"keep_repeats": False}) == {"repeat": 2}
    first = pq.read_table(tmp_path / "out" / REJECTS)["timestamp"].to_pylist()
    assert sorted(first) == ["1000", "9000"], "the earliest stays, wherever it stands"


def test_without_times_repeats_are_no_duplicates(tmp_path: Path, write_csv: Write) -> None:
    path = write_csv([("u", "a")] * 5, header="user_id,item_id")
    assert _rejected(path, tmp_path / "out", columns={"timestamp": ""}) == {}


def test_an_abusive_user_goes_a_busy_one_stays(tmp_path: Path, write_csv: Write) -> None:
    ordinary = [(f"u{u}", f"i{i}", i) for u in range(400) for i in range(3)]
    busy = [("busy", f"i{i}", i) for i in range(29)]
    abusive = [("robot", f"i{i}", i) for i in range(31)]
    path = write_csv(ordinary + busy + abusive)
    reasons = _rejected(path, tmp_path / "out", clean={"abusive_factor": 10.0})
    assert reasons == {"abusive user": 31}


def test_every_rule_compiles_for_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    spark = pytest.importorskip("ibis.backends.sql.compilers.pyspark")

    class Options:
        class pyspark:
            treat_nan_as_null = False

    monkeypatch.setattr(spark, "options", Options)
    columns = Columns(event="kind", value="value")
    data = Data(format="csv", columns=columns, event_weights={"view": 1.0})
    clean = Clean(value_min=0, near_duplicate_seconds=5, keep_repeats=False)
    text = dict.fromkeys(("user", "item", "timestamp", "event", "value"), "string")
    table = parse(ibis.table({**text, "row": "int64"}, name="log"), data, columns)
    rules = [*row_rules(clean, data, columns), *log_rules(clean, columns), *core_rules(clean)]
    assert len(rules) == 13
    for rule in rules:
        assert "SELECT" in str(ibis.to_sql(table.mutate(bad=rule.bad(table)), dialect="pyspark"))
