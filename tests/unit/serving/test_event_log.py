"""``millirank events``: out of the log once, cut off or not, and what is removed from it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import millirank
from ensembles.errors import DataError, MissingExtra, SettingsError
from serving import event_export
from serving.event_export import export_events
from serving.event_prune import prune_events, seconds_of
from tests.unit.model_repository.recorded import NOW, Kind, event


@pytest.fixture
def state(tmp_path: Path) -> Kind:
    return Kind(f"lmdb://{tmp_path / 'state'}", lambda user, value: None)


def some(first: int, last: int, **more: Any) -> list[Any]:
    return [event(str(n), **more) for n in range(first, last)]


def exported(out: Path) -> list[dict[str, Any]]:
    assert not list(out.glob(".*"))
    tables = [pq.read_table(path) for path in sorted(out.glob("*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["event_id"] for row in rows]


def run(*arguments: str) -> str:
    return CliRunner().invoke(millirank.cli, ["events", *arguments], catch_exceptions=False).stdout


def test_each_export_writes_what_is_new(state: Kind, tmp_path: Path) -> None:
    out = tmp_path / "out"
    state.append([event("a", request_id="r", position=2, release=5), event("b")])
    command = ["export", "--state", state.url, "--out", str(out)]
    assert run(*command) == f"2 events exported to {out}\n"
    assert run(*command) == f"0 events exported to {out}\n"
    state.append([event("c")])
    assert export_events(state.url, out) == 1
    rows = exported(out)
    assert ids(rows) == ["a", "b", "c"]
    assert rows == state.log()
    assert rows[0] == {
        "user_id": "u",
        "item_id": "i",
        "event": "click",
        "timestamp": NOW,
        "event_id": "a",
        "request_id": "r",
        "position": 2,
        "release": 5,
        "received": NOW,
        "score": None,
        "propensity": None,
        "explored": None,
        "cold_start": None,
    }
    types = {field.name: str(field.type) for field in pq.read_schema(next(out.glob("*.parquet")))}
    assert (types["timestamp"], types["position"], types["request_id"]) == (
        *("int64", "int32"),
        "string",
    )


def test_an_export_that_is_cut_off_is_gone_on_with(
    state: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    state.append(some(0, 25))
    monkeypatch.setattr(event_export, "EVENTS_A_FILE", 10)
    replace, left = event_export.replace_file, [1]

    def cut_off(path: Path, content: bytes) -> None:
        """The second file is there, its cursor is not."""
        if not left:
            raise KeyboardInterrupt
        left.pop()
        replace(path, content)

    monkeypatch.setattr(event_export, "replace_file", cut_off)
    with pytest.raises(KeyboardInterrupt):
        export_events(state.url, out)
    assert len(exported(out)) == 20
    state.append(some(25, 28))
    monkeypatch.setattr(event_export, "replace_file", replace)
    assert export_events(state.url, out) == 18
    assert ids(exported(out)) == [str(n) for n in range(28)]


def test_two_exports_at_once(state: Kind, tmp_path: Path) -> None:
    state.append(some(0, 3))
    with event_export._alone(tmp_path), pytest.raises(DataError, match="another export into"):
        export_events(state.url, tmp_path)
    assert export_events(state.url, tmp_path) == 3


def test_another_log_is_not_mixed_in(state: Kind, tmp_path: Path) -> None:
    out = tmp_path / "out"
    state.append(some(0, 3))
    export_events(state.url, out)
    other = Kind(f"lmdb://{tmp_path / 'other'}", state.put)
    other.append(some(0, 5))
    with pytest.raises(DataError, match="events of another log"):
        export_events(other.url, out)
    (out / "cursor.json").write_text("{}")
    with pytest.raises(DataError, match="is no cursor of an export"):
        export_events(state.url, out)


def test_a_log_or_a_folder_that_is_not_there(state: Kind, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="event log: .*no such folder"):
        export_events(state.url, tmp_path)
    state.append(some(0, 1))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot export events to .*Not a directory"):
        export_events(state.url, tmp_path / "file" / "out")


def test_without_pyarrow(state: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state.append(some(0, 1))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="pyarrow"):
        export_events(state.url, tmp_path / "out")


def test_a_folder_that_may_not_be_written(
    state: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    state.append(some(0, 1))
    monkeypatch.setattr(event_export, "replace_file", refused)
    with pytest.raises(DataError, match="cannot export events to .*Permission denied"):
        export_events(state.url, tmp_path / "out")


def test_old_events_are_removed(state: Kind, tmp_path: Path) -> None:
    now = int(time.time())
    state.append(some(0, 4, received=now - 7200), some(4, 8, received=now))
    users = state.state(["i"])
    command = ["prune", "--state", state.url, "--older-than", "1h"]
    assert run(*command) == "4 events removed\n"
    assert run(*command) == "0 events removed\n"
    assert ids(state.log()) == ["4", "5", "6", "7"]
    assert state.state(["i"]) == users


def test_the_oldest_are_removed_beyond_a_size(state: Kind) -> None:
    sent = some(0, 9)
    state.append(sent)
    line = len(sent[0].line())
    assert prune_events(state.url, keep_bytes=5 * line + 1) == 4
    assert ids(state.log()) == ["4", "5", "6", "7", "8"]
    assert prune_events(state.url, keep_bytes=5 * line) == 0


def test_what_is_not_exported_stays(state: Kind, tmp_path: Path) -> None:
    out = tmp_path / "out"
    state.append(some(0, 3))
    with pytest.raises(DataError, match="holds no export yet"):
        prune_events(state.url, keep_bytes=0, exported=out)
    export_events(state.url, out)
    state.append(some(3, 6))
    assert prune_events(state.url, keep_bytes=0, exported=out) == 3
    assert ids(state.log()) == ["3", "4", "5"]


@pytest.mark.parametrize(("age", "seconds"), [("90d", 7_776_000), ("1.5h", 5400), ("2m", 120)])
def test_ages(age: str, seconds: float) -> None:
    assert seconds_of(age) == seconds


def test_limits_that_are_none(state: Kind) -> None:
    with pytest.raises(SettingsError, match="an age such as 90d"):
        prune_events(state.url, older_than="90")
    with pytest.raises(SettingsError, match="expected --older-than, --keep-bytes"):
        prune_events(state.url)


def test_a_server_without_pyarrow_needs_no_builders() -> None:
    program = (
        "import sys, serving.event_prune, serving.event_export; print('builders' in sys.modules)"
    )
    root = Path(millirank.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_a_cursor_says_where(state: Kind, tmp_path: Path) -> None:
    state.append(some(0, 3))
    export_events(state.url, tmp_path)
    cursor = json.loads((tmp_path / "cursor.json").read_text())
    assert int(cursor["after"]) == 3
