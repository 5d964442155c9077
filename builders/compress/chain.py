"""The chain: every pass in turn, each held against both gates, the good ones kept."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from builders.compress.distil import recover
from builders.compress.gates import quality_change, refusal
from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.measure import (
    Measured,
    base_figures,
    figures,
    final_timing,
    measured,
    timed,
)
from builders.compress.passes import PASSES
from builders.compress.result import ChainResult, PassResult, pass_from_json
from builders.compress.saved import load_model
from builders.compress.settings import AnyPass, Recovering

_RESULT = "result.json"


@dataclass(frozen=True)
class Compressed:
    """What the chain ends with; ``base`` is the uncompressed model."""

    base: Measured
    final: Measured
    result: ChainResult


def run_chain(data: CompressionData, passes: tuple[AnyPass, ...]) -> Compressed:
    """Compress ``data.teacher``; called again with the same ``data.work`` it goes on after a kill.

    Raises:
        BuildError: the uncompressed ranker cannot be exported, or a pass fails for a reason
            other than that it does not apply.
    """
    base = measured(Model(data.teacher), data, data.work / "base")
    start = base_figures(base, data)
    current, results = base, []
    for number, settings in enumerate(passes, 1):
        title = f"pass {number}/{len(passes)} {settings.kind}"
        folder = data.work / f"{number}-{settings.kind}"
        result = _finished(folder)
        if result is None:
            data.log(f"{title} ...")
            result = _attempt(settings, current, base, data, folder)
        results.append(result)
        data.log(f"{title}: {_verdict(result)}")
        if result.kept:
            current = measured(load_model(folder), data, folder)
    ends = final_timing(base, current, data)
    chain = ChainResult(start, tuple(results), ends, data.settings.compress.batch)
    return Compressed(base, current, chain)


def _attempt(
    settings: AnyPass, before: Measured, base: Measured, data: CompressionData, folder: Path
) -> PassResult:
    """Run one pass and hold it against the gates; its folder appears when it is finished."""
    started = time.monotonic()
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shown = settings.model_dump(mode="json", exclude={"kind"})
    work = folder.with_name(f".{folder.name}.work")
    within = replace(data, work=work, common=data.common or data.work)
    within.work.mkdir(exist_ok=True)
    try:
        outcome = PASSES[settings.kind](before.model, settings, within)
        outcome = _recovered(outcome, settings, within)
    except DoesNotApply as e:
        result = PassResult(settings.kind, shown, False, str(e), "does not apply", None)
    else:
        after = measured(outcome.model, within, partial)
        result = _judged(settings, shown, outcome, before, after, base, data)
    result = replace(result, seconds=time.monotonic() - started)
    (partial / _RESULT).write_text(json.dumps(asdict(result)), encoding="utf-8")
    partial.rename(folder)
    shutil.rmtree(within.work)
    return result


def _recovered(outcome: Outcome, settings: AnyPass, data: CompressionData) -> Outcome:
    if not isinstance(settings, Recovering) or not settings.recover_epochs:
        return outcome
    epochs = settings.recover_epochs
    model = recover(outcome.model, data, epochs, settings.recover_learning_rate)
    return replace(outcome, model=model, summary=f"{outcome.summary}, {epochs} epochs of recovery")


def _judged(
    settings: AnyPass,
    shown: dict[str, Any],
    outcome: Outcome,
    before: Measured,
    after: Measured,
    base: Measured,
    data: CompressionData,
) -> PassResult:
    compress = data.settings.compress
    quality = quality_change(base.users, after.users, data.settings.train.seed)
    single, serving = (timed(before, after, data, batch) for batch in (1, compress.batch))
    reason = refusal(quality, single, serving, compress, settings.max_slowdown)
    return PassResult(
        kind=settings.kind,
        settings=shown,
        kept=not reason,
        reason=reason,
        summary=outcome.summary,
        figures=figures(after, quality, single, serving, data),
        single_gain=single.gain,
        batch_gain=serving.gain,
        layers_title=outcome.layers_title,
        layers=dict(outcome.layers),
    )


def _finished(folder: Path) -> PassResult | None:
    path = folder / _RESULT
    if not path.is_file():
        return None
    return pass_from_json(json.loads(path.read_text(encoding="utf-8")))


def _verdict(result: PassResult) -> str:
    if not result.kept:
        return f"left out: {result.reason} ({result.seconds:.0f} s)"
    assert result.figures is not None
    return (
        f"kept: {result.summary}; {result.figures.single_ms:.2f} ms "
        f"(time {-result.single_gain:+.0%}), NDCG@10 {result.figures.change:+.2%} "
        f"[{result.figures.low:+.2%}, {result.figures.high:+.2%}] ({result.seconds:.0f} s)"
    )
