"""Lets torchvision be imported beside a PyTorch that it was not compiled for.

The package index has torchvision for PyTorch with CUDA. Beside PyTorch for processors its compiled
operators do not load, and its import then stops where it describes two of them. Lightning, timm
and transformers import it, all for other things: declared without a body, the two let it pass.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_OPERATORS = ("torchvision::nms", "torchvision::qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class _Declaring(MetaPathFinder):
    """Declares the operators when torchvision is first looked for, and never takes part again."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        found = PathFinder.find_spec(fullname)
        if found is not None and found.origin is not None and not _loads(Path(found.origin)):
            import torch

            for name in _OPERATORS:
                torch.library.define(name, _SCHEMA)
        return found


def _loads(package: Path) -> bool:
    """Whether the compiled operators fit this PyTorch."""
    import torch

    try:
        for library in package.parent.glob("_C*.so"):
            torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return True


def declare_when_needed() -> None:
    """Call it before anything imports torchvision; a second call does nothing."""
    there = any(isinstance(finder, _Declaring) for finder in sys.meta_path)
    if not there and "torchvision" not in sys.modules:
        sys.meta_path.insert(0, _Declaring())
