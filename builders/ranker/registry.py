"""From ``ranker.kind`` to a ranker: built in, or a user's own ``package.module:Class``."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from builders.ranker.interface import Ranker
from builders.ranker.lstm import LSTMRanker
from builders.ranker.settings import Ranker as RankerSettings
from builders.ranker.transformer import TransformerRanker
from ensembles.errors import SettingsError, did_you_mean

_BUILT_IN: dict[str, type[TransformerRanker | LSTMRanker]] = {
    "transformer": TransformerRanker,
    "lstm": LSTMRanker,
}


class AdaptedRanker(Ranker):
    """Any module that gives ``encode`` and ``item_vectors``, with the hybrid head beside it."""

    inner: Any

    def __init__(self, inner: nn.Module, hybrid: bool) -> None:
        super().__init__(hybrid)
        self.inner = inner

    def encode(self, history: Tensor) -> Tensor:
        states: Tensor = self.inner.encode(history)
        return states

    def item_vectors(self) -> Tensor:
        vectors: Tensor = self.inner.item_vectors()
        return vectors


def build_ranker(items: int, history: int, settings: RankerSettings) -> Ranker:
    """A fresh ranker for item numbers 1..``items`` and at most ``history`` events.

    Raises:
        SettingsError: ``settings.kind`` names nothing usable, or its class does not keep the
            interface's shapes.
    """
    if settings.kind in _BUILT_IN:
        return _BUILT_IN[settings.kind](items=items, history=history, settings=settings)
    found = _import_class(settings.kind)
    try:
        made = found(items=items, history=history, settings=settings)
    except TypeError as e:
        raise SettingsError(
            f"ranker.kind {settings.kind!r} is constructed as "
            f"Class(items=N, history=H, settings=...), which failed: {e}"
        ) from e
    ranker = made if isinstance(made, Ranker) else AdaptedRanker(made, settings.hybrid)
    _check_shapes(ranker, items, history, settings.kind)
    return ranker


def _import_class(kind: str) -> type[nn.Module]:
    module_name, _, class_name = kind.partition(":")
    if not module_name or not class_name:
        raise SettingsError(
            f"ranker.kind is 'transformer', 'lstm' or 'package.module:Class'; got {kind!r}."
            f"{did_you_mean(kind, _BUILT_IN)}"
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as e:
        raise SettingsError(
            f"ranker.kind {kind!r}: cannot import {module_name!r} ({e}); "
            "it is looked for on PYTHONPATH"
        ) from e
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise SettingsError(
            f"ranker.kind {kind!r}: {class_name!r} in {module_name!r} is no torch.nn.Module."
            f"{did_you_mean(class_name, vars(module))}"
        )
    missing = [m for m in ("encode", "item_vectors") if not callable(getattr(found, m, None))]
    if missing:
        raise SettingsError(
            f"ranker.kind {kind!r} lacks {' and '.join(missing)}; subclass "
            "builders.ranker.interface.Ranker, whose docstrings say what they return"
        )
    return found


@torch.no_grad()
def _check_shapes(ranker: Ranker, items: int, history: int, kind: str) -> None:
    """Two rows through a user's class: a shape that is wrong is found before training."""
    ranker.eval()
    rows = torch.zeros(2, history, dtype=torch.int32)
    rows[1, -1] = items
    states, vectors = ranker.encode(rows), ranker.item_vectors()
    ranker.train()
    wanted = (items + 1, states.shape[-1])
    if states.shape[:2] != rows.shape or vectors.shape != wanted:
        raise SettingsError(
            f"ranker.kind {kind!r}: encode must give [2, {history}, D] and item_vectors "
            f"[{items + 1}, D]; got {list(states.shape)} and {list(vectors.shape)}"
        )
    if not states.isfinite().all():
        raise SettingsError(f"ranker.kind {kind!r}: encode must be finite for a row of padding too")
