"""Where real data lies that some tests run on, if it is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[1]
_DATA = Path(os.environ.get("MILLIRANK_DATA") or _ROOT.parent / "shared" / "data")


def find_data(name: str) -> Path | None:
    """The data set's folder, or None where it is absent."""
    return _DATA / name if (_DATA / name).is_dir() else None


def real_data(name: str) -> Path:
    """The data set's folder; skips the test that asks for it where it is absent."""
    folder = find_data(name)
    if folder is None:
        pytest.skip(f"there is no {name} in MILLIRANK_DATA")
    return folder
