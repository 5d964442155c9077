"""Features, ranker and policy of a release of any size, with random tables, in one process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from builders.export.item_lookup import export_lookup
from builders.publish.release import SOURCE
from builders.ranker.registry import build_ranker
from ensembles.contracts import LIMITS
from ensembles.step_code import load_step
from tests.triton.catalogue import WIDTH, settings_of

STEPS = ("features", "ranker", "policy")
NEIGHBOURS, RECENT, K = 20, 20, 10

_code = {step: load_step(SOURCE / step / "1") for step in STEPS}


@dataclass(frozen=True)
class Chain:
    """The three steps of one release, asked for users ``user-0`` to ``user-{users - 1}``."""

    service: Any
    scorer: Any
    item_ids: Any
    users: int

    def time(self, rows: int, rng: np.random.Generator) -> tuple[float, float, float]:
        """Seconds that each step took for ``rows`` stacked requests of one row."""
        asked = rng.integers(0, self.users, rows)
        requests = [
            {"user_id": np.array([[b"user-%d" % u]], object), "k": np.array([[K]], np.int32)}
            for u in asked.tolist()
        ]
        started = time.perf_counter()
        tensors = [a.tensors for a in self.service.answer(requests)]
        packed = time.perf_counter()
        logits = self.scorer.score(tensors)
        scored = time.perf_counter()
        ranked = [{**t, "logit": logit} for t, logit in zip(tensors, logits, strict=True)]
        answers = _code["policy"].answer(ranked, self.item_ids)
        ended = time.perf_counter()
        assert all(a["item_id"].shape == (1, K) for a in answers)
        return packed - started, scored - packed, ended - scored


def random_tables(items: int, history: int, candidates: int) -> Any:
    """Tables in which every item has ``NEIGHBOURS`` random neighbours."""
    rng = np.random.default_rng(items)
    near = rng.integers(1, items + 1, (items + 1, NEIGHBOURS), np.int32)
    weight = rng.random((items + 1, NEIGHBOURS), np.float32)
    share = rng.random(items + 1, np.float32)
    factors = rng.random((items + 1, 16), np.float32)
    for array in (near, weight, share, factors):
        array[0] = 0
    vectors = rng.standard_normal((items + 1, WIDTH), np.float32)
    tables = _code["features"].Tables(
        history=history,
        candidates=candidates,
        recent=RECENT,
        candidate_buckets=(),
        decay=0.8,
        item_ids=_code["features"].item_ids.ItemIds(
            ["", *(f"item-{n}" for n in range(1, items + 1))]
        ),
        popular=rng.permutation(items)[: candidates + 2 * LIMITS.recent].astype(np.int32) + 1,
        popularity=share,
        recency=share,
        neighbour_item=near,
        neighbour_weight=weight,
        factors=factors,
        categories=factors[:, :8].copy(),
        item_vectors=vectors,
    )
    tables.prepare()
    return tables


def write_state(folder: Path, users: int, events: int, items: int) -> Any:
    """A user state in which every user has ``events`` random events."""
    code = _code["features"]
    keys = code.item_keys([f"item-{n}" for n in range(1, items + 1)])
    rng, when = np.random.default_rng(users), np.arange(events)

    def rows() -> Iterator[Any]:
        for user in range(users):
            yield f"user-{user}", keys[rng.integers(0, items, events)], when

    code.seed(folder, rows())
    return code.state.LmdbState(folder)


def write_ranker(folder: Path, history: int) -> Any:
    """A ranker of random weights whose graph holds no item table, on one thread."""
    folder.mkdir(parents=True)
    settings = settings_of(1.0)
    torch.manual_seed(0)
    ranker = build_ranker(9, history, settings.ranker).eval()
    return _code["ranker"].Scorer(export_lookup(ranker, history, folder, settings.export), 1)


def make_chain(tables: Any, state: Any, scorer: Any, users: int) -> Chain:
    """Put the parts of a release together."""
    code = _code["features"]
    limits = code.Limits(K, LIMITS.k_max, LIMITS.id_bytes, LIMITS.candidates, LIMITS.recent)
    service = code.FeatureService(tables, state, limits, code.Blend(0.5, 0))
    return Chain(service, scorer, tables.item_ids._ids, users)
