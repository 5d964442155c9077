"""A chain of steps as data, validated when it is constructed.

Tensors are wired by name: a step takes what the request or an earlier step calls the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ensembles.contracts import TensorSpec
from ensembles.errors import ContractError, did_you_mean


@dataclass(frozen=True)
class Step:
    """One Triton model of a chain.

    Attributes:
        spare_inputs, spare_outputs: tensors that the model declares and this chain does not use,
            so that its configuration is the same in every chain.

    Raises:
        ContractError: no output, a tensor named twice, or no required input.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    spare_inputs: tuple[TensorSpec, ...] = ()
    spare_outputs: tuple[TensorSpec, ...] = ()

    def __post_init__(self) -> None:
        declared_inputs = (*self.inputs, *self.spare_inputs)
        declared_outputs = (*self.outputs, *self.spare_outputs)
        _reject_repeated(f"step {self.name!r}", [t.name for t in declared_inputs])
        _reject_repeated(f"step {self.name!r}", [t.name for t in declared_outputs])
        if not all(t.optional for t in self.spare_inputs):
            raise ContractError(
                f"step {self.name!r} requires an input that the chain does not give; "
                "make its spare inputs optional"
            )
        if not self.outputs:
            raise ContractError(f"step {self.name!r} has no output; a step gives at least one")
        if all(t.optional for t in self.inputs):
            raise ContractError(
                f"step {self.name!r} has no required input; Triton refuses a request without any"
            )


@dataclass(frozen=True)
class Pipeline:
    """An ensemble: what it takes, what it gives, and the steps in between, in order.

    Raises:
        ContractError: a tensor that nobody gives, that two give, that nobody uses, whose type
            or shape does not match, or steps that wait for each other.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        _reject_repeated(f"pipeline {self.name!r}", [s.name for s in self.steps])
        _reject_repeated(f"pipeline {self.name!r}", [t.name for t in self.inputs])
        _reject_repeated(f"pipeline {self.name!r}", [t.name for t in self.outputs])
        self._reject_second_givers()
        self._check_wires()
        self._reject_unused()

    def _givers(self) -> Iterator[tuple[str, TensorSpec]]:
        yield from (("the request", t) for t in self.inputs)
        yield from ((f"step {s.name!r}", t) for s in self.steps for t in s.outputs)

    def _reject_second_givers(self) -> None:
        first: dict[str, str] = {}
        for giver, tensor in self._givers():
            if tensor.name in first:
                raise ContractError(
                    f"pipeline {self.name!r}: tensor {tensor.name!r} is given by both "
                    f"{first[tensor.name]} and {giver}; rename one"
                )
            first[tensor.name] = giver

    def _check_wires(self) -> None:
        all_names = {t.name for _, t in self._givers()}
        given = {t.name: t for t in self.inputs}
        for step in self.steps:
            for taken in step.inputs:
                self._check_wire(f"step {step.name!r}", taken, given, all_names)
            given |= {t.name: t for t in step.outputs}
        for out in self.outputs:
            self._check_wire("the response", out, given, all_names)

    def _check_wire(
        self, taker: str, taken: TensorSpec, given: dict[str, TensorSpec], all_names: set[str]
    ) -> None:
        where = f"pipeline {self.name!r}: {taker}"
        if taken.name not in given:
            if taken.name in all_names:
                raise ContractError(
                    f"{where} takes {taken.name!r} before it is given; "
                    "the steps form a cycle or stand in the wrong order"
                )
            raise ContractError(
                f"{where} takes {taken.name!r}, which nobody gives."
                f"{did_you_mean(taken.name, all_names)}"
            )
        source = given[taken.name]
        if not source.fits(taken):
            raise ContractError(
                f"{where} takes {taken.name!r} as {taken.datatype}{list(taken.shape)}, "
                f"but it is given as {source.datatype}{list(source.shape)}"
            )
        if source.optional and not taken.optional:
            raise ContractError(f"{where} requires {taken.name!r}, which a request may leave out")

    def _reject_unused(self) -> None:
        taken = {t.name for s in self.steps for t in s.inputs} | {t.name for t in self.outputs}
        for giver, tensor in self._givers():
            if tensor.name not in taken:
                raise ContractError(
                    f"pipeline {self.name!r}: {giver} gives {tensor.name!r}, which nobody uses."
                    f"{did_you_mean(tensor.name, taken)}"
                )


def _reject_repeated(where: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ContractError(f"{where} names {name!r} twice")
