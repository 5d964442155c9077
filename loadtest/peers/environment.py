"""A virtual environment for each peer, made on first use from its pinned requirements."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from ensembles.errors import LoadTestError

_REQUIREMENTS = Path(__file__).with_name("requirements")
_INSTALL_SECONDS = 1200


def python_of(name: str, folder: Path) -> Path:
    """Python of the peer's environment ``folder/NAME``, which is made where it is not there.

    Raises:
        LoadTestError: it cannot be made; the message ends with pip's last words.
    """
    wanted = _REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(wanted.read_bytes()).hexdigest()
    home = (folder / name).resolve()
    python, done = home / "bin" / "python", home / "requirements.sha256"
    if done.is_file() and done.read_text() == digest:
        return python
    shutil.rmtree(home, ignore_errors=True)
    _run(name, [sys.executable, "-m", "venv", str(home)])
    pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run(name, [*pip, "-r", str(wanted)])
    done.write_text(digest)
    return python


def _run(name: str, command: list[str]) -> None:
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired as e:
        raise LoadTestError(
            f"the environment of {name} was not there after {_INSTALL_SECONDS} s; "
            "is the package index slow or out of reach?"
        ) from e
    if ended.returncode:
        words = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:]
        raise LoadTestError(
            f"the environment of {name} cannot be made: {' '.join(words) or 'no reason given'}"
        )
