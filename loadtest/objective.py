"""The objective as code: what a run must reach, and what it missed by how much."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from loadtest.record import RunRecord
from loadtest.toml_settings import TomlSettings


class Objective(TomlSettings):
    """Limits; None asks for nothing.

    Attributes:
        p50_ms, p95_ms, p99_ms: at most.
        minimum_count: answers that a p99 needs to be quoted.
        error_share: at most.
        requests_per_second: at least.
        ndcg_difference: of NDCG@10 under load from that without load, at most.
        same_answers: share of answers that list the items of those without load, at least.
        memory_growth: of each process of the server, as a share, at most.
    """

    p50_ms: float | None = Field(default=None, gt=0)
    p95_ms: float | None = Field(default=None, gt=0)
    p99_ms: float | None = Field(default=None, gt=0)
    minimum_count: int = Field(default=1000, ge=100)
    error_share: float | None = Field(default=None, ge=0, le=1)
    requests_per_second: float | None = Field(default=None, gt=0)
    ndcg_difference: float | None = Field(default=None, ge=0, le=1)
    same_answers: float | None = Field(default=None, ge=0, le=1)
    memory_growth: float | None = Field(default=None, ge=0)


@dataclass(frozen=True)
class Verdict:
    """One condition, as text; ``missed`` says by how much or why, and is empty where it is met."""

    name: str
    wanted: str
    got: str
    missed: str


def judge(objective: Objective, run: RunRecord) -> list[Verdict]:
    """Every condition of ``objective``, and that the load process was not the bottleneck."""
    found = _latencies(objective, run)
    found.append(_most("error share", objective.error_share, run.error_share))
    least, got = objective.requests_per_second, run.requests_per_second
    found.append(_most("requests/s", least, got, least=True))
    if objective.memory_growth is not None and not run.memory_mb:
        limit = f"<= {objective.memory_growth:g}"
        found.append(Verdict("memory growth", limit, "not measured", "no figure"))
    else:
        found.append(_most("memory growth", objective.memory_growth, run.memory_growth))
    found += _quality(objective, run)
    found.append(
        Verdict(
            "load process",
            "not the limit",
            "the limit" if run.bottleneck else "not the limit",
            run.bottleneck,
        )
    )
    return [verdict for verdict in found if verdict is not None]


def _latencies(objective: Objective, run: RunRecord) -> list[Verdict | None]:
    count, name = len(run.latency_ms), ["p50", "p95", "p99"]
    wanted = (objective.p50_ms, objective.p95_ms, objective.p99_ms)
    if not count:
        return [
            Verdict(f"{n} ms", f"<= {w:g}", "no answer", "no figure")
            for n, w in zip(name, wanted, strict=True)
            if w is not None
        ]
    latency = run.latency
    got = (latency.p50_ms, latency.p95_ms, latency.p99_ms)
    found = [_most(f"{n} ms", w, g) for n, w, g in zip(name, wanted, got, strict=True)]
    if objective.p99_ms is not None and count < objective.minimum_count:
        reason = f"a p99 needs {objective.minimum_count:,} answers, got {count:,}"
        found[2] = Verdict("p99 ms", f"<= {objective.p99_ms:g}", "not quoted", reason)
    return found


def _quality(objective: Objective, run: RunRecord) -> list[Verdict | None]:
    wanted, same = objective.ndcg_difference, objective.same_answers
    if run.quality is None or not run.quality.scored:
        asked = wanted is not None or same is not None
        return [Verdict("quality", "measured", "no answer to score", "no figure")] if asked else []
    found = run.quality
    return [
        _most(
            "NDCG@10 under load, difference", wanted, abs(found.ndcg_loaded - found.ndcg_unloaded)
        ),
        _most("answers as without load", same, found.same, least=True),
    ]


def _most(name: str, wanted: float | None, got: float, *, least: bool = False) -> Verdict | None:
    if wanted is None:
        return None
    over = wanted - got if least else got - wanted
    sign = ">=" if least else "<="
    return Verdict(name, f"{sign} {wanted:g}", f"{got:.4g}", f"by {over:.3g}" if over > 0 else "")
