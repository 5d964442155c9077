"""The knobs that are searched, their ranges, and what is tried first."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution

from ensembles.profiles import Knobs

Values = Mapping[str, Any]
"""Knobs by name; one that is missing stays as it is."""


def space(knobs: Knobs, cores: int, *, fused: bool, pictures: bool) -> dict[str, BaseDistribution]:
    """Ranges by knob, on a machine of so many cores; ``knobs`` lie within.

    What a release cannot change without a new build is no knob: its graphs and engines are made
    for its history and for how many candidates it retrieves. Those that a picture adds are one.

    Args:
        fused: the release has the joined model, too.
        pictures: some requests carry one.
    """

    def among(name: str, *values: int) -> CategoricalDistribution:
        return CategoricalDistribution(sorted({*values, getattr(knobs, name)}))

    found: dict[str, BaseDistribution] = {
        "instances": IntDistribution(1, max(cores + 1, knobs.instances)),
        "ranker_threads": IntDistribution(1, max(cores, knobs.ranker_threads)),
        "max_queue_delay_us": among("max_queue_delay_us", 0, 100, 250, 500, 1000),
        "max_queue_size": among("max_queue_size", 64, 256, 1024, 4096),
        "queue_timeout_ms": among("queue_timeout_ms", 100, 250, 1000),
    }
    if fused:
        found["fuse_steps"] = CategoricalDistribution((True, False))
    if pictures:
        found["visual_candidates"] = among("visual_candidates", 25, 50, 100, 200)
    return found


def starts(knobs: Knobs, known: Collection[str], cores: int) -> list[dict[str, Any]]:
    """The first trials: one knob of ``known`` changed, the likeliest gains first."""
    found: list[dict[str, Any]] = [{"instances": n} for n in (cores, 1, cores + 1)]
    found += [{"ranker_threads": cores}, {"instances": 1, "ranker_threads": cores}]
    found += [{"max_queue_delay_us": 100}]
    found += [{"fuse_steps": not knobs.fuse_steps}] if "fuse_steps" in known else []
    usual = {name: getattr(knobs, name) for name in known}
    return [values for change in found if (values := {**usual, **change}) != usual]


def changes(knobs: Knobs, values: Values) -> dict[str, Any]:
    """What of ``values`` is another than in ``knobs``."""
    return {name: value for name, value in values.items() if getattr(knobs, name) != value}
