"""What only events in LMDB meet: a full file, a full disk, a folder that may not be written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.model_repository.recorded import FEATURES, NOW, RECORD, Kind, event, state_of


def put_nothing(user: str, value: bytes) -> None:
    raise AssertionError


def kind_in(folder: Path) -> Kind:
    return Kind(f"lmdb://{folder}", put_nothing)


def wide(n: int) -> Any:
    """An event whose line takes a kilobyte."""
    return event(str(n), at=NOW + n, request_id="r" * 1000)


def fill(store: Any, at_most: int) -> tuple[list[Any], str]:
    """Append until the store refuses; what it acknowledged, and what it said."""
    taken: list[Any] = []
    for n in range(0, at_most, 10):
        batch = [wide(n + m) for m in range(10)]
        try:
            assert store.append(batch) == [True] * 10
        except RECORD.Unwritable as e:
            return taken, str(e)
        taken += batch
    return taken, ""


def assert_kept(kind: Kind, taken: list[Any]) -> None:
    assert [row["event_id"] for row in kind.log()] == [e.event_id for e in taken]
    assert kind.state(["i"]) == state_of(taken)


def test_the_file_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RECORD.lmdb_store, "_FIRST_MAP_BYTES", 1 << 16)
    kind = kind_in(tmp_path / "state")
    store = kind.open()
    taken, said = fill(store, 500)
    store.close()
    assert (len(taken), said) == (500, "")
    assert_kept(kind, taken)


def test_a_full_file_refuses_and_goes_on_after_old_events_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RECORD.lmdb_store, "_FIRST_MAP_BYTES", 1 << 16)
    kind = kind_in(tmp_path / "state")
    store = kind.open(limit_mb=1)
    taken, said = fill(store, 2000)
    assert "has the 1 MB that it may have" in said
    assert "millirank events prune" in said
    assert len(taken) > 100
    with pytest.raises(RECORD.Unwritable, match="1 MB"):
        store.append([wide(5000 + n) for n in range(10)])
    assert store.known(["0", "5000"]) == {"0"}
    store.close()
    assert_kept(kind, taken)
    log = RECORD.open_log(kind.url, Path("/"))
    places = [place for place, _ in log.after(log.start)]
    assert log.remove_through(places[-20]) == len(taken) - 19
    later = event("later", at=NOW + 9000)
    assert kind.append([later]) == [[True]]
    assert [row["event_id"] for row in kind.log()] == [e.event_id for e in [*taken[-19:], later]]
    assert kind.state(["i"]) == state_of([*taken, later])


def test_the_newest_event_stays_so_that_numbers_go_on(tmp_path: Path) -> None:
    kind = kind_in(tmp_path)
    kind.append([event("a"), event("b")])
    log = RECORD.open_log(kind.url, Path("/"))
    (_, last) = [place for place, _ in log.after(log.start)]
    assert log.remove_through(last) == 1
    kind.append([event("c")])
    assert [place for place, _ in log.after(last)] == [f"{3:020d}"]


def test_a_folder_that_cannot_be_made_until_it_can(tmp_path: Path) -> None:
    kind = kind_in(tmp_path / "file" / "state")
    (tmp_path / "file").write_text("in the way")
    store = kind.open()
    for ask in (store.known, store.append):
        with pytest.raises(RECORD.Unwritable, match="the user state cannot be written"):
            ask([])
    (tmp_path / "file").unlink()
    assert store.append([event("a")]) == [True]
    store.close()


def test_a_reader_that_was_there_first_sees_the_first_event(tmp_path: Path) -> None:
    state = FEATURES.open_state(f"lmdb://{tmp_path / 'state'}", Path("/"), "", None)
    assert state.read([b"u"]).counts.tolist() == [0]
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "data.mdb").write_bytes(b"")
    assert state.read([b"u"]).counts.tolist() == [0]  # it is being made
    (tmp_path / "state" / "data.mdb").unlink()
    kind_in(tmp_path / "state").append([event("a")])
    assert state.read([b"u"]).counts.tolist() == [1]
    state.close()


def test_a_log_of_no_state(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such folder"):
        RECORD.open_log(f"lmdb://{tmp_path / 'nowhere'}", Path("/"))
    log = RECORD.open_log(f"lmdb://{tmp_path}", Path("/"))
    with pytest.raises(ValueError, match="cannot be opened"):
        log.identity()


@pytest.fixture
def little_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    if os.geteuid():
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(little_disk: Path) -> None:
    (little_disk / "ballast").write_bytes(bytes(400_000))
    kind = kind_in(little_disk / "state")
    store = kind.open()
    taken, said = fill(store, 2000)
    assert "the user state cannot be written" in said
    assert "free space" in said  # LMDB itself says "Input/output error" where a write ended early
    assert len(taken) > 50
    with pytest.raises(RECORD.Unwritable, match="free space"):
        store.append([wide(5000 + n) for n in range(10)])
    (little_disk / "ballast").unlink()
    again = [wide(6000 + n) for n in range(10)]
    assert store.append(again) == [True] * 10
    assert store.append(again) == [False] * 10
    store.close()
    assert_kept(kind, [*taken, *again])
