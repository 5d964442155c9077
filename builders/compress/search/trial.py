"""One trial: a chain of passes, held against both gates, and timed as the objective asks."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from builders.compress.chain import run_chain
from builders.compress.interface import CompressionData
from builders.compress.result import ChainResult
from builders.compress.search.front import Candidate
from builders.compress.search.students import keep, start
from builders.compress.settings import AnyPass
from builders.export.verify import feed_of, open_session
from ensembles.contracts import LOGIT

_ABOVE = 10
"""Requests that are wanted above the percentile."""
_LEAST, _MOST, _SECONDS = 100, 1000, 20.0
_WARM_UP = 10


def run_trial(
    data: CompressionData, passes: Sequence[AnyPass], name: str, work: Path, percentile: float
) -> tuple[Candidate, ChainResult]:
    """Run the chain in ``work``, which is removed when the trial is finished.

    Args:
        data: ``data.work`` is what the trials of a study share.

    Raises:
        BuildError: a pass fails for another reason than that it does not apply.
    """
    start(data.work, work, passes)
    found = run_chain(replace(data, work=work, common=data.work), tuple(passes))
    keep(data.work, work, passes)
    kept = tuple({"kind": p.kind, **p.settings} for p in found.result.passes if p.kept)
    latency = percentile_ms(found.final.graph, data, percentile)
    shutil.rmtree(work)
    return Candidate(name, kept, latency, found.result.final), found.result


def percentile_ms(graph: Path, data: CompressionData, percentile: float) -> float:
    """Percentile of single requests, one after the other, as many as it takes: milliseconds."""
    session = open_session(graph, data.settings.serving.ranker_threads)
    rows = data.validation
    wanted = min(max(_LEAST, ceil(_ABOVE / (1 - percentile / 100))), _MOST)
    ends = time.perf_counter() + _SECONDS
    spent: list[float] = []
    while len(spent) < wanted + _WARM_UP:
        if len(spent) >= _LEAST + _WARM_UP and time.perf_counter() > ends:
            break
        feed: dict[str, Any] = feed_of(session, rows, np.array([len(spent) % len(rows.history)]))
        started = time.perf_counter()
        session.run([LOGIT.name], feed)
        spent.append((time.perf_counter() - started) * 1e3)
    return float(np.percentile(spent[_WARM_UP:], percentile))
