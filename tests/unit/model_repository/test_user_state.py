"""Users' events are kept, merged and read back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triton.tiny import SOURCE

EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=30)


def events(pairs: list[tuple[int, int]]) -> tuple[Any, Any]:
    keys, times = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(keys, np.uint64), np.array(times, np.int64)


def read(features: ModuleType, folder: Path, *users: str) -> list[list[tuple[int, int]]]:
    state = features.UserState(folder)
    stored, counts = state.read([u.encode() for u in users])
    state.close()
    parts = np.split(stored, np.cumsum(counts)[:-1])
    return [[(int(k), int(t)) for k, t in part.tolist()] for part in parts]


def test_what_is_written_is_read(features: ModuleType, tmp_path: Path) -> None:
    written = {"a": [(1, 10), (2, 20)], "ü": [(3, 5)], "z": []}
    assert features.seed(tmp_path, ((u, *events(e)) for u, e in written.items())) == 3
    answer = read(features, tmp_path, "ü", "nobody", "a", "z", "a")
    assert answer == [[(3, 5)], [], written["a"], [], written["a"]]


@settings(max_examples=40, deadline=None)
@given(first=EVENTS, second=EVENTS)
def test_merging_is_a_union_and_idempotent(
    features: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[int, int]],
    second: list[tuple[int, int]],
) -> None:
    folder = tmp_path_factory.mktemp("state")
    for pairs in (first, second, second, first):
        features.seed(folder, [("u", *events(pairs))])
    (stored,) = read(features, folder, "u")
    assert stored == sorted(dict.fromkeys([*first, *second]), key=lambda e: e[1])


def test_events_of_the_same_time_keep_their_order(features: ModuleType, tmp_path: Path) -> None:
    for _ in range(2):
        features.seed(tmp_path, [("u", *events([(9, 1), (3, 1), (5, 1)]))])
    assert read(features, tmp_path, "u") == [[(9, 1), (3, 1), (5, 1)]]


def test_the_newest_events_are_kept(features: ModuleType, tmp_path: Path) -> None:
    features.seed(tmp_path, [("u", *events([(i, i) for i in range(1500)]))])
    (stored,) = read(features, tmp_path, "u")
    assert stored == [(i, i) for i in range(500, 1500)]


def test_a_full_file_grows_while_it_is_read(
    features: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features.state, "_FIRST_MAP_BYTES", 1 << 16)
    features.seed(tmp_path, [("u", *events([(1, 1)]))])
    state = features.UserState(tmp_path)
    assert state.read([b"u"])[1].tolist() == [1]
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
    assert state.read([b"user-39", b"u"])[1].tolist() == [900, 1]
    state.close()


def test_a_full_file_is_made_larger(
    features: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features.state, "_FIRST_MAP_BYTES", 1 << 16)
    rows = [(f"user-{n}", *events([(i, i) for i in range(900)])) for n in range(40)]
    assert features.seed(tmp_path, rows) == 40
    assert [len(stored) for stored in read(features, tmp_path, "user-0", "user-39")] == [900, 900]


def test_no_folder_is_no_users(features: ModuleType, tmp_path: Path) -> None:
    state = features.UserState(tmp_path / "nowhere")
    assert not state.there
    stored, counts = state.read([b"a", b"b"])
    assert len(stored) == 0
    assert counts.tolist() == [0, 0]
    state.close()


def test_ids_that_cannot_be_keys_are_unknown(features: ModuleType, tmp_path: Path) -> None:
    features.seed(tmp_path, [("u", *events([(1, 1)]))])
    assert read(features, tmp_path, "", "x" * 600, "u") == [[], [], [(1, 1)]]


@pytest.mark.parametrize("user", ["", "x" * 512])
def test_users_that_cannot_be_kept(features: ModuleType, tmp_path: Path, user: str) -> None:
    with pytest.raises(ValueError, match="1 to 511 bytes"):
        features.seed(tmp_path, [(user, *events([]))])


def test_folder_of_something_else(features: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "data.mdb").write_bytes(b"x" * 9000)
    with pytest.raises(ValueError, match="holds no user state"):
        features.UserState(tmp_path)
    with pytest.raises(ValueError, match="cannot be written"):
        features.seed(tmp_path, [])


def test_state_urls(features: ModuleType, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    assert features.resolve_state("lmdb:///var/x", repository) == Path("/var/x")
    assert features.resolve_state("lmdb://../state", repository) == tmp_path.resolve() / "state"
    for url in ("redis://host", "lmdb://", "", "/var/x"):
        with pytest.raises(ValueError, match="expected a user state URL"):
            features.resolve_state(url, repository)
