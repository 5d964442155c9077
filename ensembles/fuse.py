"""Join adjacent Python steps of a chain into one model: fewer hops, the same answers.

A hop between two Python steps costs more than a light step. The joined model declares what its
members take from the outside and what others take of them; it runs the members' own functions,
one after the other, from a version folder that holds their code and tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ensembles.contracts import TensorSpec
from ensembles.errors import ContractError
from ensembles.pipeline import Pipeline, Step
from ensembles.profiles import CPU, Backend, Profile

FUSED = "_".join(CPU.fused)
"""The joined model: ``features_ranker_policy``."""


def fuse(pipeline: Pipeline, profile: Profile) -> Pipeline:
    """The same chain with the steps ``profile.fused`` as one; as it is when it has none of them.

    Raises:
        ContractError: they are not adjacent in the chain, or not all in the Python backend.
    """
    members = tuple(step for step in pipeline.steps if step.name in profile.fused)
    if not members:
        return pipeline
    start = pipeline.steps.index(members[0])
    before, after = pipeline.steps[:start], pipeline.steps[start + len(members) :]
    _check(pipeline, profile)
    taken = {t.name for step in after for t in step.inputs} | {t.name for t in pipeline.outputs}
    return replace(pipeline, steps=(*before, _join(members, taken), *after))


def _check(pipeline: Pipeline, profile: Profile) -> None:
    where = f"pipeline {pipeline.name!r}: cannot join {', '.join(profile.fused)}"
    names = tuple(step.name for step in pipeline.steps)
    count = len(profile.fused)
    if profile.fused not in (names[n : n + count] for n in range(len(names))):
        raise ContractError(
            f"{where}; they must all be there, adjacent and in this order, but the steps are "
            f"{', '.join(names)}"
        )
    for name in profile.fused:
        if profile.backend(name) != Backend.PYTHON:
            raise ContractError(
                f"{where}; {name!r} runs in {profile.backend(name)} in profile "
                f"{profile.name!r}, and only Python steps can be joined"
            )


def _join(members: Sequence[Step], taken: set[str]) -> Step:
    inside = {t.name for step in members for t in (*step.outputs, *step.spare_outputs)}

    def outside(tensors: Sequence[TensorSpec]) -> tuple[TensorSpec, ...]:
        return tuple({t.name: t for t in tensors if t.name not in inside}.values())

    return Step(
        name="_".join(step.name for step in members),
        inputs=outside([t for step in members for t in step.inputs]),
        outputs=tuple(t for step in members for t in step.outputs if t.name in taken),
        spare_inputs=outside([t for step in members for t in step.spare_inputs]),
    )
