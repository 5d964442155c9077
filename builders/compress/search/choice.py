"""The choice of a search: for the terminal, and as passes that a build takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from rich import box
from rich.table import Table

from builders.compress.search.front import Candidate, pareto_front
from builders.compress.search.slo import Objective
from builders.compress.settings import AnyPass

_BEST, _NEAREST, _FRONT = "best.toml", "nearest.toml", "front.json"


@dataclass(frozen=True)
class Choice:
    """What a search ends with.

    Attributes:
        candidate: the best that meets the objective, or the one that comes nearest.
        met: whether it meets the objective.
        front: the Pareto front, fastest first.
    """

    objective: Objective
    max_quality_loss: float
    candidate: Candidate
    met: bool
    front: tuple[Candidate, ...]

    def line(self, trials: int) -> str:
        """What came out, in one sentence."""
        c, o = self.candidate, self.objective
        figures = f"{o.name} {c.latency_ms:.2f} ms, NDCG@10 {c.figures.change:+.2%}"
        if self.met:
            return f"{c.name} of {trials} meets {o}: {figures}, with {c.describe()}"
        over = c.latency_ms / o.milliseconds - 1
        return (
            f"none of {trials} trials meets {o} within a loss of {self.max_quality_loss:.2%}; "
            f"nearest is {c.name}: {figures}, with {c.describe()}: "
            f"{c.latency_ms - o.milliseconds:.2f} ms ({over:.0%}) too slow"
        )


def front_table(choice: Choice) -> Table:
    """The Pareto front, the chosen one in bold."""
    table = Table(
        title=f"Pareto front: the ranker alone at batch 1, limit {choice.objective}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("trial", no_wrap=True)
    table.add_column("passes")
    for heading in (f"{choice.objective.name} ms", "NDCG@10", "change", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for c in choice.front:
        table.add_row(
            c.name.removeprefix("trial "),
            c.describe(),
            f"{c.latency_ms:.2f}",
            f"{c.figures.ndcg10:.4f}",
            f"{c.figures.change:+.2%}",
            f"{c.figures.bytes / 1e6:.1f}",
            style="bold" if c.name == choice.candidate.name else "",
        )
    return table


def write_choice(choice: Choice, candidates: Sequence[Candidate], folder: Path) -> Path:
    """Write ``best.toml`` or ``nearest.toml``, and ``front.json``; the TOML file's path."""
    names = {c.name for c in pareto_front(candidates)}
    front = {
        "objective": str(choice.objective),
        "max_quality_loss": choice.max_quality_loss,
        "met": choice.met,
        "chosen": choice.candidate.name,
        "trials": [{**c.to_json(), "on_front": c.name in names} for c in candidates],
    }
    (folder / _FRONT).write_text(json.dumps(front, indent=1), encoding="utf-8")
    path, other = folder / _BEST, folder / _NEAREST
    if not choice.met:
        path, other = other, path
    other.unlink(missing_ok=True)
    path.write_text(as_toml(choice), encoding="utf-8")
    return path


def as_toml(choice: Choice) -> str:
    """A section ``[compress]`` with the passes of the candidate."""
    c, verdict = choice.candidate, "meets" if choice.met else "does NOT meet"
    lines = [
        f"# {c.name} {verdict} {choice.objective} of the ranker alone: {c.latency_ms:.2f} ms,",
        f"# NDCG@10 on validation {c.figures.change:+.2%}.",
        "[compress]",
        f"max_quality_loss = {choice.max_quality_loss!r}",
    ]
    if not c.passes:
        lines.append("passes = []")
    adapter: TypeAdapter[AnyPass] = TypeAdapter(AnyPass)
    for settings in c.passes:
        found = adapter.validate_python(settings)
        changed = found.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        lines += ["", "[[compress.passes]]"]
        lines += [f"{name} = {_value(v)}" for name, v in {"kind": found.kind, **changed}.items()]
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    """As TOML writes it; of plain values JSON writes the same."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(v)}" for name, v in value.items()) + " }"
    return json.dumps(value)
