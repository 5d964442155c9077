"""What a search tries: passes and their settings, derived from the ranker's own shape.

The order is fixed: what takes structure away stands first, what only rounds stands last, since a
rounded matrix cannot be made smaller well, and a smaller one can always be rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, Protocol

from builders.compress.settings import (
    AnyPass,
    Distil,
    Factorise,
    PruneChannels,
    PruneHeads,
    PruneLayers,
    QuantiseDynamic,
    QuantiseItems,
    QuantiseStatic,
)
from builders.ranker.settings import Ranker

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Parameters = dict[str, Any]
"""Parameters of a trial by name."""

_PARTS = (0.25, 0.5, 0.75, 1.0)
_LEAST_WIDTH = 8
_SLOWDOWN = 0.05
"""The item table in INT8 is made for size: it may cost this share of the time."""


class Space(Protocol):
    """What a search tries."""

    def passes(self, trial: BaseTrial) -> tuple[AnyPass, ...]:
        """The passes of a trial, in their order."""
        ...

    def starts(self) -> list[Parameters]:
        """Combinations that are known to be sensible, cheapest first."""
        ...


@dataclass(frozen=True)
class PassSpace:
    """All passes, for one ranker.

    Attributes:
        ranker: shape of the uncompressed ranker.
        epochs: most epochs of a distillation.
    """

    ranker: Ranker
    epochs: int

    @property
    def _bodies(self) -> tuple[str, ...]:
        # Heads, channels and blocks are taken out of transformers only.
        prunable = self.ranker.kind == "transformer"
        return ("same", "student", *(["pruned"] if prunable else []))

    @property
    def _layers(self) -> tuple[int, ...]:
        return tuple(sorted({ceil(self.ranker.layers * part) for part in _PARTS}))

    @property
    def _widths(self) -> tuple[int, ...]:
        """Narrower widths that a whole number of heads divides, widest first."""
        halves = (self.ranker.width // part for part in (2, 4, 8))
        found = [w for w in halves if w >= _LEAST_WIDTH and w % (2 * self._heads(w)) == 0]
        return tuple(found) or (self.ranker.width,)

    def _heads(self, width: int) -> int:
        """As many heads as keep the width that a head has in the uncompressed ranker."""
        return max(1, width * self.ranker.heads // self.ranker.width)

    def passes(self, trial: BaseTrial) -> tuple[AnyPass, ...]:
        """The passes of a trial, in their order."""
        body = trial.suggest_categorical("body", self._bodies)
        found: list[AnyPass] = []
        if body == "pruned":
            found += self._pruning(trial)
        if body == "student":
            found.append(self._student(trial))
        factorised = trial.suggest_categorical("factorise", ("none", "layers", "layers and items"))
        if factorised != "none":
            keep = trial.suggest_float("factorise_keep", 0.25, 0.75, step=0.25)
            found.append(Factorise(keep=keep, items=factorised == "layers and items"))
        if trial.suggest_categorical("int8_items", (False, True)):
            found.append(QuantiseItems(max_slowdown=_SLOWDOWN))
        graph = trial.suggest_categorical("graph", ("none", "static", "dynamic"))
        if graph == "static":
            found.append(QuantiseStatic())
        if graph == "dynamic":
            found.append(QuantiseDynamic())
        return tuple(found)

    def _pruning(self, trial: BaseTrial) -> list[AnyPass]:
        layers = trial.suggest_categorical("layers", self._layers)
        heads = trial.suggest_float("heads_keep", 0.25, 1.0, step=0.25)
        channels = trial.suggest_float("channels_keep", 0.25, 1.0, step=0.25)
        epochs = trial.suggest_categorical("recover_epochs", self._recovery)
        found: list[AnyPass] = []
        if layers < self.ranker.layers:
            found.append(PruneLayers(keep=layers, recover_epochs=epochs))
        if heads < 1:
            found.append(PruneHeads(keep=heads, recover_epochs=epochs))
        if channels < 1:
            found.append(PruneChannels(keep=channels, recover_epochs=epochs))
        return found

    @property
    def _recovery(self) -> tuple[int, ...]:
        return tuple(sorted({min(n, self.epochs) for n in (0, 1, 3)}))

    def _student(self, trial: BaseTrial) -> Distil:
        width = trial.suggest_categorical("student_width", self._widths)
        layers = trial.suggest_categorical("student_layers", self._layers)
        epochs = trial.suggest_categorical(
            "student_epochs", tuple(sorted({ceil(self.epochs / 2), self.epochs}))
        )
        shape = {"width": width, "layers": layers, "heads": self._heads(width)}
        return Distil(student=self.ranker.model_copy(update=shape), epochs=epochs)

    def starts(self) -> list[Parameters]:
        """Nothing; INT8 alone, static and dynamic; narrower students; half of all pruned.

        Nothing comes first, so that the uncompressed ranker is among what trials end with.
        """
        plain = {"factorise": "none", "int8_items": False}
        half = self._layers[len(self._layers) // 2 - 1] if len(self._layers) > 1 else 1
        kinds = ("none", "static", "dynamic")
        found = [{"body": "same", **plain, "graph": kind} for kind in kinds]
        found += [
            {
                "body": "student",
                "student_width": width,
                "student_layers": half,
                "student_epochs": self.epochs,
                **plain,
                "graph": "static",
            }
            for width in self._widths[:2]
        ]
        if "pruned" in self._bodies:
            keep = {"layers": half, "heads_keep": 0.5, "channels_keep": 0.5}
            recover = {"recover_epochs": self._recovery[-1]}
            found.append({"body": "pruned", **keep, **recover, **plain, "graph": "static"})
        return found
