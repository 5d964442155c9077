"""A complete release that is tiny, made by hand, and whose every answer is known."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from builders.publish.step_files import link_members
from ensembles.fuse import FUSED
from ensembles.profiles import Knobs
from ensembles.recommend import RECOMMEND, chains, step_names
from ensembles.record import RECORD
from ensembles.render import write_configs
from ensembles.step_code import load_step
from tests.triton.tiny_visual import write_visual_files

SOURCE = Path(__file__).resolve().parents[2] / "model_repository"
ITEMS, USERS = 50, 30
HISTORY, CANDIDATES, RECENT = 10, 20, 5
BUCKETS = [20, 30, 60]
FEATURE_WEIGHTS = np.array([1.0, 0.5, 0.25, 0.125, 0.5, 2.0, 0.25], np.float32)
KNOBS = Knobs(visual_weight=0.25, visual_candidates=4)


@dataclass(frozen=True)
class Tiny:
    """Where the release is, and what it is made of."""

    repository: Path
    state: Path
    item_ids: list[str]
    vectors: NDArray[np.float32]
    users: dict[str, list[int]]


def item_ids() -> list[str]:
    """External ids, the first of padding."""
    return ["", *(f"item-{i}" for i in range(1, ITEMS)), "ünïcode-50"]


def make_tables(folder: Path, seed: int = 7) -> list[str]:
    """Write a ``tables`` folder; the item ids."""
    rng = np.random.default_rng(seed)
    n, k = ITEMS, 6
    neighbours = np.zeros((n + 1, k), np.int32)
    for item in range(1, n + 1):
        neighbours[item] = rng.choice([i for i in range(1, n + 1) if i != item], k, replace=False)
    neighbours[1:, -1] = 0  # not every item has as many
    weights = np.where(neighbours > 0, rng.random((n + 1, k)) + 0.1, 0).astype(np.float32)
    arrays = {
        "popular": (rng.permutation(n) + 1).astype(np.int32),
        "popularity": _padded(rng.random(n)),
        "recency": _padded(rng.random(n)),
        "neighbour_item": neighbours,
        "neighbour_weight": weights,
        "factors": _padded(_unit(rng.normal(size=(n, 4)))),
        "categories": _padded(_unit(rng.integers(0, 2, size=(n, 3)).astype(float))),
    }
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    lengths = {
        "history": HISTORY,
        "candidates": CANDIDATES,
        "recent": RECENT,
        "items": n,
        "candidate_buckets": BUCKETS,
        "decay": 0.5,
    }
    (folder / "lengths.json").write_text(json.dumps(lengths))
    (folder / "item_ids.json").write_text(json.dumps(item_ids()))
    return item_ids()


def _padded(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(np.concatenate([np.zeros_like(rows[:1]), rows]), np.float32)


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))


def make_ranker(file: Path, vectors: NDArray[np.float32], *, lookup: bool = False) -> None:
    """An ONNX ranker: last item's vector times candidate's, plus weighted features.

    With ``lookup`` the vectors are inputs of the graph.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: NDArray[np.generic]) -> onnx.TensorProto:
        return numpy_helper.from_array(value, name)

    def taken(name: str, length: int | str) -> onnx.ValueInfoProto:
        shape = ["batch", length, vectors.shape[1]]
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    table = [constant("vectors", vectors)]
    look_up = [
        helper.make_node("Gather", ["history", "last"], ["newest"], axis=1),
        helper.make_node("Gather", ["vectors", "newest"], ["user"]),
        helper.make_node("Gather", ["vectors", "candidate"], ["item"]),
    ]
    looked_up = []
    if lookup:
        table = []
        look_up = [
            helper.make_node("Gather", ["history_vector", "last"], ["user"], axis=1),
            helper.make_node("Identity", ["candidate_vector"], ["item"]),
        ]
        looked_up = [taken("history_vector", HISTORY), taken("candidate_vector", "width")]
    nodes = [
        *look_up,
        helper.make_node("Mul", ["user", "item"], ["product"]),
        helper.make_node("ReduceSum", ["product", "axis"], ["dot"], keepdims=0),
        helper.make_node("Mul", ["candidate_features", "weights"], ["weighted"]),
        helper.make_node("ReduceSum", ["weighted", "axis"], ["head"], keepdims=0),
        helper.make_node("Add", ["dot", "head"], ["logit"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("history", TensorProto.INT32, ["batch", HISTORY]),
            helper.make_tensor_value_info("candidate", TensorProto.INT32, ["batch", "width"]),
            helper.make_tensor_value_info(
                "candidate_features", TensorProto.FLOAT, ["batch", "width", len(FEATURE_WEIGHTS)]
            ),
            *looked_up,
        ],
        [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["batch", "width"])],
        [
            constant("last", np.array([HISTORY - 1], np.int64)),
            constant("axis", np.array([-1], np.int64)),
            *table,
            constant("weights", FEATURE_WEIGHTS),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"history": str(HISTORY), "candidates": str(CANDIDATES)})
    onnx.checker.check_model(model)
    onnx.save(model, file)


def make_release(
    root: Path,
    release: int = 1,
    knobs: Knobs | None = None,
    *,
    lookup: bool = False,
    width: int = 3,
    visual: bool = False,
    fused: bool = False,
) -> Tiny:
    """Write repository and state below ``root``.

    Args:
        lookup: the features step looks the item table up, and not the ranker's graph.
        width: of the item table.
        visual: the release takes pictures; see ``tiny_visual``.
        fused: the Python steps of the cpu profile are one model.
    """
    repository, state = root / "repository", root / "state"
    pipelines = chains(lookup=lookup, visual=visual)
    for step in (*step_names(pipelines), RECORD.name, *([FUSED] if fused else [])):
        shutil.copytree(
            SOURCE / step / "1",
            repository / step / str(release),
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    tables = repository / "features" / str(release) / "tables"
    ids = make_tables(tables)
    (repository / "policy" / str(release) / "tables").mkdir()
    shutil.copy(tables / "item_ids.json", repository / "policy" / str(release) / "tables")
    rng = np.random.default_rng(11)
    vectors = _padded(np.random.default_rng(12).normal(size=(ITEMS, width)))
    make_ranker(repository / "ranker" / str(release) / "model.onnx", vectors, lookup=lookup)
    if lookup:
        np.save(tables / "item_vectors.npy", vectors)
    about = repository / RECOMMEND.name / str(release)
    about.mkdir(parents=True)
    (about / "catalogue.json").write_text(json.dumps({i: i.title() for i in ids[1:]}))
    lengths = {"history": HISTORY, "candidates": CANDIDATES, "vector_width": lookup * width}
    settings = replace(knobs or KNOBS, fuse_steps=fused, **lengths)
    write_configs(repository, pipelines, release, settings)
    if visual:
        write_visual_files(repository, release)
    if fused:
        link_members(repository, release)
    lengths = [1, 3, HISTORY, HISTORY + 4, 35]
    users = {
        f"user-{u}": (rng.permutation(ITEMS)[: lengths[u % len(lengths)]] + 1).tolist()
        for u in range(USERS)
    }
    users["everything"] = list(range(1, ITEMS + 1))
    code = load_step(repository / "features" / str(release))
    keys = code.item_keys(ids)
    code.seed(state, ((u, keys[e], np.arange(len(e))) for u, e in users.items()))
    return Tiny(repository, state, ids, vectors, users)


def hold_out(tiny: Tiny, release: int) -> None:
    """Give every user a held-out item, as load tests want it."""
    about = tiny.repository / RECOMMEND.name / str(release)
    users, items = list(tiny.users), tiny.item_ids[1:]
    held_out = {"users": users, "items": [items[i % len(items)] for i in range(len(users))]}
    (about / "holdout.json").write_text(json.dumps(held_out))
