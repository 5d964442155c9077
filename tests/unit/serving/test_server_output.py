"""Output that is passed on as it comes, and not kept."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from serving.server_log import explain
from serving.server_output import _KEPT, FollowedOutput


def test_lines_are_passed_on_at_once_and_only_the_last_are_kept() -> None:
    reading, writing = os.pipe()
    came: list[str] = []
    first = threading.Event()

    def take(line: str) -> None:
        came.append(line)
        first.set()
        if line == "1":
            raise BrokenPipeError  # a terminal that is gone

    followed = FollowedOutput(os.fdopen(reading, errors="replace"), take)
    with os.fdopen(writing, "wb", buffering=0) as server:
        server.write(b"0\n")
        assert first.wait(10)
        for number in range(1, 2 * _KEPT):
            server.write(f"{number}\n".encode())
        server.write(b'E1124 08:30:00.1 4711 a.cc:1] "no \xff model"')
    followed.finish()
    assert came[:-1] == [str(n) for n in range(2 * _KEPT)]
    assert len(followed.lines()) == _KEPT
    assert explain(followed.lines()) == "  no � model"


def test_a_file_and_its_lines_are_explained_alike(tmp_path: Path) -> None:
    text = 'I1124 08:30:00.1 1 a.cc:1] "x"\nE1124 08:30:00.1 1 a.cc:1] "reason"\n'
    (tmp_path / "log").write_text(text)
    assert explain(tmp_path / "log") == explain(text.splitlines()) == "  reason"
