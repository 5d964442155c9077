"""What the report says of a chain, as plain text: the headline, and a row for each pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from builders.compress.result import ChainResult, Figures, PassResult

UNCOMPRESSED = "uncompressed"


def headings(result: ChainResult) -> tuple[str, ...]:
    """Of the columns of ``rows``."""
    return (
        "pass",
        "parameters",
        "MB",
        "operations",
        "ms, batch 1",
        f"ms, batch {result.batch}",
        "NDCG@10",
        "change [95 %]",
        "verdict",
    )


@dataclass(frozen=True)
class Row:
    """One line of the table; ``cells`` as in ``headings``."""

    cells: tuple[str, ...]
    kept: bool


def rows(result: ChainResult) -> Iterator[Row]:
    """The uncompressed ranker, then every pass, kept or not."""
    yield Row((UNCOMPRESSED, *_cells(result.base), "", "where the chain starts"), kept=True)
    for p in result.passes:
        cells: tuple[str, ...] = ("",) * 7
        if p.figures is not None:
            cells = (*_cells(p.figures), change(vars(p.figures)))
        yield Row((p.name, *cells, verdict(p)), p.kept)


def verdict(p: PassResult) -> str:
    """Kept or left out, and why."""
    if not p.kept:
        return f"left out: {p.reason}"
    return f"kept: {p.summary} (time at batch 1 {-p.single_gain:+.0%})"


def change(found: Mapping[str, Any]) -> str:
    """Change of NDCG@10 with its interval, for a cell."""
    return f"{found['change']:+.2%} [{found['low']:+.2%}, {found['high']:+.2%}]"


def _interval(found: Mapping[str, Any]) -> str:
    return (
        f"{found['change']:+.2%} (95 % interval over users {found['low']:+.2%} to "
        f"{found['high']:+.2%})"
    )


def headline(result: ChainResult) -> str:
    """How much faster, at what price."""
    t, final, base = result.timing, result.final, result.base
    kept = sum(p.kept for p in result.passes)
    threads = "1 thread" if t.cores == 1 else f"{t.cores} threads"
    return (
        f"The ranker answers one request in {t.after_ms:.2f} ms instead of {t.eager_ms:.2f} ms: "
        f"{t.eager_ms / t.after_ms:.1f} times faster than eager PyTorch "
        f"({threads}), {t.before_ms / t.after_ms:.1f} times faster than uncompressed in "
        f"ONNX Runtime ({t.before_ms:.2f} ms). It takes {final.bytes / 1e6:.1f} MB instead of "
        f"{base.bytes / 1e6:.1f} MB. NDCG@10 on validation is {final.ndcg10:.4f} after "
        f"{base.ndcg10:.4f}: {_interval(vars(final))}. "
        f"{kept} of {len(result.passes)} passes were kept."
    )


def test_line(test: Mapping[str, Any]) -> str:
    """What compression did on the test split.

    Args:
        test: ``ndcg10``, ``change``, ``low`` and ``high``, as of a ``QualityChange``.
    """
    lost_all = test["change"] <= -1
    before = "" if lost_all else f" after {test['ndcg10'] / (1 + test['change']):.4f}"
    return f"Test split, looked at once: NDCG@10 {test['ndcg10']:.4f}{before}: {_interval(test)}."


GRAPH_HEADINGS = ("graph", "MB", "change [95 %]", "gate", "engine built by", "run", "published")


def graph_rows(export: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The gpu profile's graphs, as in ``GRAPH_HEADINGS``.

    Args:
        export: the manifest's figures of the stage ``export``.
    """
    for name, graph in export.get("graphs", {}).items():
        engine = graph["engine"]
        built, run = engine, ""
        if not isinstance(engine, str):
            built = f"{engine['library']} {engine['version']}"
            ran = engine["executed"]
            run = ran if isinstance(ran, str) else f"on {engine['gpu'] or 'a GPU'}"
        yield (
            name,
            f"{graph['bytes'] / 1e6:.2f}",
            change(graph["quality"]),
            "held" if graph["holds"] else "not held",
            built,
            run,
            "yes" if name == export["chosen"] else "",
        )


def _cells(f: Figures) -> tuple[str, ...]:
    return (
        _thousands(f.parameters),
        f"{f.bytes / 1e6:.2f}",
        _thousands(f.operations),
        f"{f.single_ms:.2f}",
        f"{f.batch_ms:.2f}",
        f"{f.ndcg10:.4f}",
    )


def _thousands(count: int) -> str:
    """Three digits and a unit."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit:
            return f"{count / limit:.3g} {unit}"
    return str(count)
