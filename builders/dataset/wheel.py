"""MovieLens-100K out of a PyPI wheel: fetched with pip, checked, cached, never installed.

The wheel of RecBole (MIT) ships MovieLens-100K as atomic files. Nothing of the package is run.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from ensembles.errors import DataError

REQUIREMENT = "recbole==1.2.1"
FILENAME = "recbole-1.2.1-py3-none-any.whl"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
MEMBERS = tuple(f"recbole/dataset_example/ml-100k/ml-100k.{x}" for x in ("inter", "item", "user"))

_GIVE_A_FOLDER = "give a folder with ml-100k.inter, ml-100k.item and ml-100k.user: --data DIR"


def cache_folder() -> Path:
    """``$MILLIRANK_CACHE``, else ``~/.cache/millirank``."""
    return Path(os.environ.get("MILLIRANK_CACHE") or Path.home() / ".cache" / "millirank")


def movielens_100k(log: Callable[[str], None] = lambda _: None) -> Path:
    """Folder with the three atomic files, out of the cache or, the first time, out of PyPI.

    Raises:
        DataError: the wheel is neither cached nor fetchable, or is not the expected one.
    """
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        wheel = cache / FILENAME
        if not wheel.is_file() or _sha256(wheel) != SHA256:
            log(f"fetching {REQUIREMENT} (2 MB) into {cache} for MovieLens-100K")
            _fetch(wheel)
        return _extract(wheel, cache / "ml-100k")
    except OSError as e:
        raise DataError(f"the cache {cache} cannot be used ({e}); {_GIVE_A_FOLDER}") from e


def _fetch(wheel: Path) -> None:
    with tempfile.TemporaryDirectory(dir=wheel.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "1"]
        command += ["--timeout", "20", "--dest", folder, REQUIREMENT]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
            reason = "" if done.returncode == 0 else _last_line(done.stderr)
        except subprocess.TimeoutExpired:
            reason = "pip did not finish within 120 s"
        fetched = Path(folder) / FILENAME
        if reason or not fetched.is_file():
            raise DataError(
                f"MovieLens-100K is not cached and pip could not fetch {REQUIREMENT} "
                f"({reason or 'no wheel came'}); check the network, or {_GIVE_A_FOLDER}"
            )
        digest = _sha256(fetched)
        if digest != SHA256:
            raise DataError(
                f"{FILENAME} has SHA-256 {digest}, expected {SHA256}: the package index gave "
                f"another file; {_GIVE_A_FOLDER}"
            )
        fetched.replace(wheel)


def _extract(wheel: Path, folder: Path) -> Path:
    """Write what differs only, each file in one rename: a killed run leaves no half file."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for member in MEMBERS:
            content = archive.read(member)
            target = folder / Path(member).name
            if not target.is_file() or target.read_bytes() != content:
                part = target.with_name(f"{target.name}.{os.getpid()}.part")
                part.write_bytes(content)
                part.replace(target)
    return folder


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["pip said nothing"])[-1]
