"""What ``model.py`` files use of the Python backend, for tests without a server."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar


class Tensor:
    def __init__(self, name: str, array: Any) -> None:
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        return self._array


class TritonError:
    INVALID_ARG = "INVALID_ARG"
    INTERNAL = "INTERNAL"
    UNAVAILABLE = "UNAVAILABLE"

    def __init__(self, message: str, code: str) -> None:
        self.message, self.code = message, code


@dataclass
class InferenceResponse:
    output_tensors: list[Tensor] = field(default_factory=list)
    error: TritonError | None = None

    def arrays(self) -> dict[str, Any]:
        return {t.name(): t.as_numpy() for t in self.output_tensors}


class Metric:
    """A counter; as in the server, metrics of one name with the same labels are one."""

    amounts: ClassVar[dict[tuple[str, frozenset[tuple[str, str]]], list[float]]] = {}

    def __init__(self, name: str, labels: dict[str, str]) -> None:
        self._amounts = self.amounts.setdefault((name, frozenset(labels.items())), [])

    def increment(self, amount: float) -> None:
        self._amounts.append(amount)


class MetricFamily:
    COUNTER = "counter"

    def __init__(self, name: str, description: str, kind: str) -> None:
        self.name = name

    def Metric(self, labels: dict[str, str]) -> Metric:
        return Metric(self.name, labels)


def counted(name: str, **labels: str) -> float:
    """What a counter stands at since ``make``."""
    return sum(Metric.amounts[name, frozenset(labels.items())])


def messages(name: str) -> int:
    """How often the counters of a name were incremented since ``make``."""
    return sum(len(amounts) for (n, _), amounts in Metric.amounts.items() if n == name)


def make(warnings: list[str]) -> ModuleType:
    """The module; what models warn of goes into ``warnings``."""
    Metric.amounts.clear()
    module = ModuleType("triton_python_backend_utils")
    logger = SimpleNamespace(log_warn=warnings.append, log_info=warnings.append)
    vars(module).update(
        Tensor=Tensor,
        TritonError=TritonError,
        InferenceResponse=InferenceResponse,
        MetricFamily=MetricFamily,
        Logger=logger,
    )
    return module


def request(**arrays: Any) -> Any:
    tensors = [Tensor(name, array) for name, array in arrays.items()]
    return SimpleNamespace(inputs=lambda: tensors)
