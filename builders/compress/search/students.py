"""What trials share on disk: the uncompressed model's figures, and distilled students.

A distillation takes minutes, the passes after it seconds. So the leading passes of a trial up to
its distillation are kept, as the chain left them, and later trials start from there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from pydantic import TypeAdapter

from builders.compress.settings import AnyPass

_BASE = "base"
_adapter: TypeAdapter[tuple[AnyPass, ...]] = TypeAdapter(tuple[AnyPass, ...])


def as_text(passes: Sequence[AnyPass]) -> str:
    """Passes with all their settings, the same text for the same passes."""
    return _adapter.dump_json(tuple(passes)).decode()


def start(shared: Path, work: Path, passes: Sequence[AnyPass]) -> None:
    """Put into ``work`` what earlier trials left in ``shared`` for a trial of ``passes``."""
    work.mkdir(parents=True, exist_ok=True)
    for kept, folder in _places(shared, work, passes):
        if not kept.is_dir():
            return
        if not folder.is_dir():
            _link(kept, folder)


def keep(shared: Path, work: Path, passes: Sequence[AnyPass]) -> None:
    """Leave in ``shared`` what later trials can start from."""
    for kept, folder in _places(shared, work, passes):
        if not kept.is_dir():
            _link(folder, kept)


def _places(shared: Path, work: Path, passes: Sequence[AnyPass]) -> list[tuple[Path, Path]]:
    """Shared folder and folder in the chain of each step that is worth keeping."""
    last = max((n for n, p in enumerate(passes, 1) if p.kind == "distil"), default=0)
    places = [(shared / _BASE, work / _BASE)]
    for number in range(1, last + 1):
        name = sha256(as_text(passes[:number]).encode()).hexdigest()[:16]
        places.append((shared / name, work / f"{number}-{passes[number - 1].kind}"))
    return places


def _link(source: Path, target: Path) -> None:
    """The same files under another name, whole or not at all; nothing is copied."""
    partial = target.with_name(f".{target.name}.linking")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, partial, copy_function=os.link)
    partial.rename(target)
