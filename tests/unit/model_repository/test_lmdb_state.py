"""What only a user state in LMDB does: it grows, and its folder may be missing or another's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import lmdb
import numpy as np
import pytest

from tests.triton.tiny import SOURCE

ONE = [("u", np.ones(1, np.uint64), np.ones(1, np.int64))]


def test_a_full_file_grows_while_it_is_read(
    features: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features.lmdb_users, "_FIRST_MAP_BYTES", 1 << 16)
    features.seed(tmp_path, ONE)
    state = features.state.LmdbState(tmp_path)
    assert state.read([b"u"]).counts.tolist() == [1]
    # Another process writes: one process must not open an LMDB folder twice.
    program = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from ensembles.step_code import load_step\n"
        "code, n = load_step(Path(sys.argv[1])), np.arange(900)\n"
        "rows = ((f'user-{u}', n.astype(np.uint64), n) for u in range(40))\n"
        "code.seed(Path(sys.argv[2]), rows)\n"
    )
    command = [sys.executable, "-c", program, str(SOURCE / "features" / "1"), str(tmp_path)]
    subprocess.run(command, check=True, cwd=SOURCE.parent)
    assert state.read([b"user-39", b"u"]).counts.tolist() == [900, 1]
    state.close()


def test_a_full_file_is_made_larger(
    features: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features.lmdb_users, "_FIRST_MAP_BYTES", 1 << 16)
    n: Any = np.arange(900)
    assert features.seed(tmp_path, [(f"user-{u}", n.astype(np.uint64), n) for u in range(40)]) == 40
    state = features.state.LmdbState(tmp_path)
    assert state.read([b"user-0", b"user-39"]).counts.tolist() == [900, 900]
    state.close()


def test_no_folder_is_no_users(features: ModuleType, tmp_path: Path) -> None:
    state = features.state.LmdbState(tmp_path / "nowhere")
    assert not state.there
    found = state.read([b"a", b"b"])
    assert len(found.events) == 0
    assert found.counts.tolist() == [0, 0]
    assert not found.degraded.any()
    state.close()


@pytest.mark.parametrize("user", ["", "x" * 512])
def test_users_that_cannot_be_kept(features: ModuleType, tmp_path: Path, user: str) -> None:
    with pytest.raises(ValueError, match="1 to 511 bytes"):
        features.seed(tmp_path, [(user, *ONE[0][1:])])


def test_folder_of_something_else(features: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"x" * 9000)
    with pytest.raises(ValueError, match="holds no user state"):
        features.state.LmdbState(tmp_path)
    with pytest.raises(ValueError, match="cannot be written"):
        features.seed(tmp_path, [])


def test_a_folder_of_another_user_is_read(
    features: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features.seed(tmp_path, ONE)
    really = lmdb.open

    def refused(*args: Any, lock: bool = True, **options: Any) -> Any:
        """As LMDB does where its lock file cannot be written."""
        if lock:
            raise lmdb.ReadonlyError("Permission denied")
        return really(*args, lock=lock, **options)

    monkeypatch.setattr(lmdb, "open", refused)
    with features.lmdb_users.LmdbUsers(tmp_path, create=False) as users:
        assert [user for user, _ in users.all()] == [b"u"]
    with pytest.raises(ValueError, match="cannot be written: Permission denied"):
        features.lmdb_users.LmdbUsers(tmp_path, create=True)


def test_a_full_disk_is_said(
    features: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with features.lmdb_users.LmdbUsers(tmp_path, create=True) as state:

        def full(_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(state, "_write", full)
        with pytest.raises(ValueError, match="cannot be written.*No space"):
            state.merge([])
