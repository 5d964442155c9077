from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ensembles.errors import ReleaseError
from serving.release import journal as journal_module
from serving.release.journal import Journal
from serving.release.lock import release_lock


@settings(max_examples=30)
@given(whys=st.lists(st.text(), max_size=5))
def test_what_is_written_is_read_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, whys: list[str]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "repository")
    written = [journal.add("stage", {"why": why, "release": n}) for n, why in enumerate(whys)]
    assert journal.entries() == written
    assert [entry["why"] for entry in written] == whys


def test_it_says_who_and_when(tmp_path: Path) -> None:
    entry = Journal(tmp_path / "repository").add("promote", {})
    assert entry["action"] == "promote"
    assert "@" in entry["who"]
    assert entry["when"].endswith("+00:00")
    assert json.loads((tmp_path / "releases.jsonl").read_text()) == entry


def test_a_line_that_a_crash_cut_off_spoils_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "repository")
    first = journal.add("stage", {})
    with journal.path.open("a") as file:
        file.write('{"when": "20')
    second = journal.add("promote", {})
    assert journal.entries() == [first, second]


def test_what_is_no_entry_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "repository")
    journal.path.write_bytes(b'3\n\xff\n{"action": "stage"}\n')
    assert journal.entries() == [{"action": "stage"}]


def test_a_journal_that_cannot_be_used(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "repository")
    journal.path.mkdir()
    with pytest.raises(ReleaseError, match="cannot write the journal"):
        journal.add("stage", {})
    with pytest.raises(ReleaseError, match="cannot read the journal"):
        journal.entries()


def test_a_user_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(journal_module.getpass, "getuser", nobody)
    assert Journal(tmp_path / "repository").add("stage", {})["who"].split("@")[0].isdigit()


def _hold(repository: Path, held: multiprocessing.synchronize.Event, over: object) -> None:
    with release_lock(repository):
        held.set()
        over.wait()  # type: ignore[attr-defined]


def test_one_command_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, over = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path / "repository", held, over))
    other.start()
    assert held.wait(60)
    with (
        pytest.raises(ReleaseError, match="another command"),
        release_lock(tmp_path / "repository"),
    ):
        pass
    other.kill()  # the system lets go for it
    other.join()
    with release_lock(tmp_path / "repository"):
        pass


def test_a_lock_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="cannot write the lock"):  # noqa: SIM117
        with release_lock(tmp_path / "nowhere" / "repository"):
            pass
