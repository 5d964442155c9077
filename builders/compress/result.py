"""What a chain found, as data: for the manifest, the report and the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figures:
    """One model, measured.

    Attributes:
        parameters: numbers in the graph.
        bytes: size of the graph's file.
        operations: multiply-adds of one request.
        single_ms, single_p99_ms: ONNX Runtime at batch 1.
        batch_ms: ONNX Runtime at the serving batch, for the whole batch.
        ndcg10: on validation, among the retrieved candidates.
        change, low, high: of NDCG@10 relative to the uncompressed ranker, with 95 % interval.
    """

    parameters: int
    bytes: int
    operations: int
    single_ms: float
    single_p99_ms: float
    batch_ms: float
    ndcg10: float
    change: float = 0.0
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True)
class PassResult:
    """One pass of the chain.

    Attributes:
        kind: of the pass.
        settings: as they were given.
        kept: whether both gates held.
        reason: why it was left out; empty when it was kept.
        summary: what the pass did.
        figures: None where the pass did not apply.
        single_gain, batch_gain: share of the time taken off, against the model before it.
        seconds: the pass took, measuring included.
        layers_title, layers: figures by layer, where the pass has any.
    """

    kind: str
    settings: Mapping[str, Any]
    kept: bool
    reason: str
    summary: str
    figures: Figures | None
    single_gain: float = 0.0
    batch_gain: float = 0.0
    seconds: float = 0.0
    layers_title: str = ""
    layers: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For tables and plots."""
        return pass_name(self.kind, self.settings)


@dataclass(frozen=True)
class FinalTiming:
    """The same requests, one at a time, in alternation: milliseconds, median.

    Attributes:
        eager_ms: the uncompressed ranker in PyTorch, float32, on all cores.
        before_ms: the uncompressed ranker in ONNX Runtime, as it would be served.
        after_ms: the compressed ranker in ONNX Runtime, as it is served.
        cores: threads that PyTorch had.
    """

    eager_ms: float
    before_ms: float
    after_ms: float
    cores: int


@dataclass(frozen=True)
class ChainResult:
    """A whole chain, and the two models at its ends."""

    base: Figures
    passes: tuple[PassResult, ...]
    timing: FinalTiming
    batch: int

    @property
    def final(self) -> Figures:
        """Of the model that is released."""
        kept = [p.figures for p in self.passes if p.kept and p.figures is not None]
        return kept[-1] if kept else self.base

    def summary(self) -> str:
        """One line."""
        kept = sum(p.kept for p in self.passes)
        t, final = self.timing, self.final
        return (
            f"{kept} of {len(self.passes)} passes kept: {t.before_ms:.2f} ms became "
            f"{t.after_ms:.2f} ms ({t.before_ms / t.after_ms:.1f} times faster), "
            f"NDCG@10 {final.change:+.2%}, {self.base.bytes / 1e6:.1f} MB became "
            f"{final.bytes / 1e6:.1f} MB"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data, see ``from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> ChainResult:
        """What ``to_json`` gave."""
        passes = tuple(pass_from_json(p) for p in raw["passes"])
        return cls(Figures(**raw["base"]), passes, FinalTiming(**raw["timing"]), raw["batch"])


def pass_name(kind: str, settings: Mapping[str, Any]) -> str:
    """The kind of a pass, with what matters most of its settings."""
    student = settings.get("student")
    if student:
        return f"{kind} {student['layers']}x{student['width']}"
    return f"{kind} {settings['keep']:g}" if "keep" in settings else kind


def pass_from_json(raw: Mapping[str, Any]) -> PassResult:
    """One pass out of plain data."""
    figures = raw["figures"]
    return PassResult(**{**raw, "figures": None if figures is None else Figures(**figures)})
