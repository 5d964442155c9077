"""Room for a second release, by a made-up /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from ensembles.errors import ReleaseError
from serving.release.memory import available_bytes, check_room, server_bytes
from tests.unit.release.fake_server import make_repository

SERVER, ELSEWHERE = "127.0.0.1:8000", "10.0.0.7:8000"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A server of three processes with 100 MiB each, and a process of somebody else."""
    folder = tmp_path / "proc"
    processes = {
        10: (1, ["tritonserver", "--http-port=8000"]),
        11: (10, ["stub (a) b)"]),
        12: (11, ["grandchild"]),
        13: (1, ["tritonserver", "--http-port=80001"]),
    }
    for pid, (parent, arguments) in processes.items():
        own = folder / str(pid)
        own.mkdir(parents=True)
        (own / "stat").write_text(f"{pid} ({arguments[0]}) S {parent} 1 1")
        (own / "cmdline").write_text("\0".join(arguments) + "\0")
        (own / "smaps_rollup").write_text(
            "0-1 r\nRss: 900000 kB\nPss: 102400 kB\nPss_Dirty: 1 kB\n"
        )
    (folder / "self").mkdir()
    (folder / "14").mkdir()  # has just ended
    return folder


def left(proc: Path, mib: int) -> None:
    (proc / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {mib * 1024} kB\n")


def test_the_processes_of_a_server_are_found(proc: Path) -> None:
    assert server_bytes(SERVER, proc) == 300 * 2**20
    assert server_bytes("127.0.0.1:9000", proc) is None
    assert server_bytes(ELSEWHERE, proc) is None
    (proc / "12" / "smaps_rollup").unlink()
    assert server_bytes(SERVER, proc) is None


def test_a_release_takes_what_each_of_those_takes_that_run(tmp_path: Path, proc: Path) -> None:
    repository = make_repository(tmp_path)
    left(proc, 361)
    check_room(repository, 2, SERVER, 1, proc)
    left(proc, 359)
    with pytest.raises(ReleaseError, match="takes about 377 MB of memory, and 376 MB are"):
        check_room(repository, 2, SERVER, 1, proc)
    check_room(repository, 2, SERVER, 2, proc)


def test_of_a_server_elsewhere_the_files_tell(tmp_path: Path, proc: Path) -> None:
    repository = make_repository(tmp_path)
    left(proc, 540)
    with pytest.raises(ReleaseError, match="takes about 576 MB"):
        check_room(repository, 2, ELSEWHERE, 1, proc)
    left(proc, 560)
    check_room(repository, 2, ELSEWHERE, 1, proc)


def test_a_system_that_does_not_tell_refuses_nothing(tmp_path: Path, proc: Path) -> None:
    check_room(make_repository(tmp_path), 2, ELSEWHERE, 1, proc)
    for text in ("", "MemAvailable:\n", "MemAvailable: much kB\n", "nonsense\n"):
        (proc / "meminfo").write_text(text)
        assert available_bytes(proc / "meminfo") is None
