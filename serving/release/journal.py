"""Who changed what is served, when and why, and by which figures: lines that are only added."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ensembles.errors import ReleaseError
from serving.durable import sync

Entry = dict[str, Any]


class Journal:
    """``releases.jsonl`` beside the repository."""

    def __init__(self, repository: Path) -> None:
        self.path = repository.resolve().parent / "releases.jsonl"

    def add(self, action: str, about: Mapping[str, Any]) -> Entry:
        """Write what happened, and return once it is on disk.

        Raises:
            ReleaseError: it cannot be written.
        """
        entry = {
            "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "who": f"{_user()}@{socket.gethostname()}",
            "action": action,
            **about,
        }
        line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
        try:
            with self.path.open("ab+") as file:
                if file.tell() and not self._ends_a_line():
                    line = b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            sync(self.path.parent)
        except OSError as e:
            raise ReleaseError(f"cannot write the journal {self.path}: {e.strerror}") from e
        return entry

    def entries(self) -> list[Entry]:
        """Oldest first; what a crash cut off in the middle is left out.

        Raises:
            ReleaseError: it cannot be read.
        """
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as e:
            raise ReleaseError(f"cannot read the journal {self.path}: {e.strerror}") from e
        found = (_parsed(line) for line in lines)
        return [entry for entry in found if entry is not None]

    def _ends_a_line(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"


def _parsed(line: bytes) -> Entry | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        return str(os.getuid())
