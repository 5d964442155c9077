"""The token of the control endpoints, out of a file."""

from __future__ import annotations

from pathlib import Path

from ensembles.errors import SettingsError


def read_token(path: Path) -> str:
    """The one token in the file.

    Raises:
        SettingsError: the file is unreadable or empty.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as e:
        raise SettingsError(f"cannot read the token file {path}: {e}") from e
    if not token:
        raise SettingsError(f"the token file {path} is empty; put one line with a secret into it")
    return token
