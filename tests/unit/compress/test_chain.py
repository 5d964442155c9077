"""The chain: good passes are kept, bad ones left out with their reason, work is not done twice."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from builders.compress import chain, measure
from builders.compress.chain import run_chain
from builders.compress.gates import Timing, gains, graph_logits
from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.result import ChainResult
from builders.compress.settings import Factorise, PruneHeads, PruneLayers, QuantiseItems
from builders.ranker.transformer import TransformerRanker

Stub = Callable[[Model, Any, CompressionData], Outcome]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-ins for passes, and a clock that says what the number of blocks says."""
    called: list[str] = []

    def stub(name: str, run: Stub) -> Stub:
        def counted(model: Model, settings: Any, data: CompressionData) -> Outcome:
            called.append(name)
            return run(model, settings, data)

        return counted

    stubs = {
        "prune_layers": stub("prune_layers", _without_last_block),
        "prune_heads": stub("prune_heads", _ruined),
        "factorise": stub("factorise", _unchanged),
        "quantise_items": stub("quantise_items", _not_here),
    }
    monkeypatch.setattr(chain, "PASSES", stubs)
    monkeypatch.setattr(measure, "timing", _timed_by_size)
    return called


def _without_last_block(model: Model, settings: Any, data: CompressionData) -> Outcome:
    ranker = _copy(model)
    del ranker.blocks[-1]
    return Outcome(model.with_ranker(ranker), "one block less", "blocks", {"last": 1.0})


def _ruined(model: Model, settings: Any, data: CompressionData) -> Outcome:
    ranker = _copy(model)
    del ranker.blocks[-1]
    with torch.no_grad():
        ranker.norm.weight.zero_()
        ranker.head.out.weight.zero_()
    return Outcome(model.with_ranker(ranker), "ruined")


def _unchanged(model: Model, settings: Any, data: CompressionData) -> Outcome:
    return Outcome(model, "nothing changed")


def _not_here(model: Model, settings: Any, data: CompressionData) -> Outcome:
    raise DoesNotApply("this ranker has no such thing")


def _copy(model: Model) -> Any:
    ranker = copy.deepcopy(model.ranker)
    assert isinstance(ranker, TransformerRanker)
    return ranker


def _timed_by_size(before: Path, after: Path, *_: Any) -> Timing:
    was, now = before.stat().st_size, after.stat().st_size
    return Timing(was / 1e6, now / 1e6, now / 1e6, 1 - now / was)


@pytest.mark.slow
def test_verdicts(data: CompressionData, calls: list[str]) -> None:
    # The teacher has learned the circle with blocks to spare; nothing may get worse.
    loose = data.settings.compress.model_copy(update={"max_quality_loss": 0.5})
    data = replace(data, settings=data.settings.model_copy(update={"compress": loose}))
    passes = (QuantiseItems(), PruneHeads(), PruneLayers(keep=2), Factorise())
    found = run_chain(data, passes)
    absent, ruined, pruned, same = found.result.passes
    assert calls == ["quantise_items", "prune_heads", "prune_layers", "factorise"]
    assert not absent.kept
    assert absent.reason == "this ranker has no such thing"
    assert absent.figures is None
    assert not ruined.kept
    assert "NDCG@10 falls by" in ruined.reason
    assert pruned.kept
    assert pruned.layers == {"last": 1.0}
    assert not same.kept
    assert "at batch 1" in same.reason
    assert found.result.final == pruned.figures
    assert len(_copy(found.final.model).blocks) == 2
    assert len(_copy(found.base.model).blocks) == 3


def test_served_graph_gives_the_figures(data: CompressionData, calls: list[str]) -> None:
    found = run_chain(data, ())
    users = gains(graph_logits(found.final.graph, data.validation), data.validation)
    assert found.result.final.ndcg10 == users.mean()
    assert found.result.final.parameters >= sum(p.numel() for p in data.teacher.ranker.parameters())
    assert found.result.summary().startswith("0 of 0 passes kept")


@pytest.mark.slow
def test_goes_on_after_a_kill(
    data: CompressionData, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> Outcome:
        raise KeyboardInterrupt

    passes = (Factorise(max_slowdown=0.0), PruneHeads())
    with monkeypatch.context() as patch:
        patch.setitem(chain.PASSES, "prune_heads", killed)  # type: ignore[arg-type]
        with pytest.raises(KeyboardInterrupt):
            run_chain(data, passes)
    assert calls == ["factorise"]
    found = run_chain(data, passes)
    assert calls == ["factorise", "prune_heads"]
    assert [p.kept for p in found.result.passes] == [True, False]
    assert not list(data.work.glob(".*"))


def test_result_survives_json(data: CompressionData, calls: list[str]) -> None:
    result = run_chain(data, (QuantiseItems(), Factorise(max_slowdown=0.0))).result
    assert ChainResult.from_json(result.to_json()) == result
    assert np.isfinite(result.timing.eager_ms)
