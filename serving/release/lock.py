"""One command at a time changes which release is served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ensembles.errors import ReleaseError
from serving.file_lock import hold


@contextmanager
def release_lock(repository: Path) -> Iterator[None]:
    """Hold the releases of ``repository``; the system lets go when the process ends.

    Raises:
        ReleaseError: another command holds them, or the lock cannot be written.
    """
    path = repository.resolve().parent / ".releases.lock"
    try:
        held = hold(path)
    except BlockingIOError:
        raise ReleaseError(
            f"another command is changing the releases of {repository}; "
            "wait for its end, or stop it"
        ) from None
    except OSError as e:
        raise ReleaseError(f"cannot write the lock {path}: {e.strerror}") from e
    with held:
        yield
