"""The contract that every pass keeps, alone and after every other pass."""

from __future__ import annotations

import copy
import pickletools
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.torch import save
from torch import Tensor

from builders.compress import graph, sensitivity
from builders.compress.graph import materialise
from builders.compress.interface import CompressionData, DoesNotApply, Model, Outcome
from builders.compress.passes import PASSES
from builders.compress.saved import load_model, save_model
from builders.compress.settings import (
    AnyPass,
    Distil,
    Factorise,
    HalfPrecision,
    PruneChannels,
    PruneHeads,
    PruneLayers,
    QuantiseDynamic,
    QuantiseItems,
    QuantiseStatic,
)
from builders.export.item_lookup import export_ranker
from builders.export.torch2onnx import MODEL
from builders.export.verify import open_session
from builders.ranker.compact import RowInt8Embedding
from builders.ranker.interface import Ranker
from builders.ranker.settings import Ranker as RankerSettings
from builders.settings import Export
from ensembles.contracts import CANDIDATE, CANDIDATE_FEATURES, HISTORY, LOGIT

SMALL: Mapping[str, AnyPass] = {
    "prune_heads": PruneHeads(),
    "prune_channels": PruneChannels(),
    "prune_layers": PruneLayers(keep=2),
    "factorise": Factorise(keep=0.5, items=True),
    "distil": Distil(epochs=1),
    "quantise_static": QuantiseStatic(sensitivity=1),
    "quantise_dynamic": QuantiseDynamic(sensitivity=1),
    "quantise_items": QuantiseItems(),
    "fp16": HalfPrecision(),
}
TO_LSTM = Distil(
    epochs=1, student=RankerSettings(kind="lstm", width=16, layers=1, heads=1, dropout=0)
)
ALONE = {**SMALL, "distil to another kind": TO_LSTM}
PAIRS = [(first, second) for first in SMALL for second in SMALL]

passes = pytest.mark.parametrize("name", ALONE)


def run(model: Model, settings: AnyPass, data: CompressionData, work: Path) -> Outcome:
    work.mkdir()
    return PASSES[settings.kind](model, settings, replace(data, work=work))


@pytest.fixture(scope="module", autouse=True)
def exported_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same weights are not exported again and again, which is most of the time here."""
    folder = tmp_path_factory.mktemp("exported")

    def export_once(ranker: Ranker, history: int, target: Path, settings: Export) -> Path:
        known = folder / sha256(save(dict(ranker.state_dict()))).hexdigest()
        if not known.exists():
            export_ranker(ranker, history, target, settings).replace(known)
        return Path(shutil.copy(known, target / MODEL))

    with pytest.MonkeyPatch.context() as patch:
        for module in (graph, sensitivity):
            patch.setattr(module, "export_ranker", export_once)
        yield


@pytest.fixture(scope="module")
def made(trained: CompressionData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What each pass makes of the teacher; filled as tests ask for it."""
    folder = tmp_path_factory.mktemp("passes")
    return _Made(trained, folder)


class _Made(dict[str, Outcome]):
    def __init__(self, data: CompressionData, folder: Path) -> None:
        super().__init__()
        self.data, self.folder = data, folder

    def __missing__(self, name: str) -> Outcome:
        work = self.folder / name.replace(" ", "-")
        self[name] = run(Model(self.data.teacher), ALONE[name], self.data, work)
        return self[name]


@pytest.fixture(scope="module")
def graphs(
    made: dict[str, Outcome], trained: CompressionData, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The graph of each, with the teacher's as ``base``; made as tests ask for it."""
    return _Graphs(made, trained, tmp_path_factory.mktemp("graphs"))


class _Graphs(dict[str, Path]):
    def __init__(self, made: dict[str, Outcome], data: CompressionData, folder: Path) -> None:
        super().__init__()
        self.made, self.data, self.folder = made, replace(data, work=folder), folder

    def __missing__(self, name: str) -> Path:
        model = Model(self.data.teacher) if name == "base" else self.made[name].model
        self[name] = self.folder / f"{name.replace(' ', '-')}.onnx"
        materialise(model, self.data, self[name])
        return self[name]


def inputs(data: CompressionData, rows: int, candidates: int) -> dict[str, NDArray[Any]]:
    taken = np.arange(rows) % len(data.validation.history)
    chosen = np.arange(candidates) % data.validation.candidate.shape[1]
    return {
        HISTORY.name: data.validation.history[taken],
        CANDIDATE.name: data.validation.candidate[taken][:, chosen],
        CANDIDATE_FEATURES.name: data.validation.features[taken][:, chosen],
    }


@torch.no_grad()
def torch_scores(model: Model, data: CompressionData, rows: int, candidates: int) -> Tensor:
    found: Tensor = model.ranker(
        *(torch.from_numpy(a) for a in inputs(data, rows, candidates).values())
    )
    return found


def graph_scores(file: Path, data: CompressionData, rows: int, candidates: int) -> NDArray[Any]:
    (found,) = open_session(file).run([LOGIT.name], inputs(data, rows, candidates))
    return np.asarray(found)


def same_weights(one: Model, other: Model) -> bool:
    first, second = one.ranker.state_dict(), other.ranker.state_dict()
    return list(first) == list(second) and all(map(torch.equal, first.values(), second.values()))


def test_every_pass_is_tried() -> None:
    assert set(SMALL) == set(PASSES)


@passes
def test_interface_and_shapes(
    name: str, made: dict[str, Outcome], graphs: dict[str, Path], data: CompressionData
) -> None:
    outcome = made[name]
    assert outcome.summary
    assert "\n" not in outcome.summary
    assert bool(outcome.layers) == bool(outcome.layers_title)
    assert all(np.isfinite(list(outcome.layers.values())))
    assert not outcome.model.ranker.training
    session = open_session(graphs[name])
    base = open_session(graphs["base"])
    assert _signature(session.get_inputs()) == _signature(base.get_inputs())
    assert _signature(session.get_outputs()) == _signature(base.get_outputs())
    for rows, candidates in [(1, 1), (1, 7), (5, 1), (5, 10)]:
        assert torch_scores(outcome.model, data, rows, candidates).shape == (rows, candidates)
        scores = graph_scores(graphs[name], data, rows, candidates)
        assert scores.shape == (rows, candidates)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()


def _signature(tensors: Any) -> list[tuple[str, str, int, list[int]]]:
    return [
        (t.name, t.type, len(t.shape), [d for d in t.shape if isinstance(d, int)]) for t in tensors
    ]


@passes
def test_the_same_again(
    name: str,
    made: dict[str, Outcome],
    graphs: dict[str, Path],
    data: CompressionData,
    tmp_path: Path,
) -> None:
    torch.manual_seed(12345)  # Whatever was drawn before must not matter.
    again = run(Model(data.teacher), ALONE[name], data, tmp_path / "work")
    assert again.layers == made[name].layers
    assert again.model.graph_passes == made[name].model.graph_passes
    assert same_weights(again.model, made[name].model)
    if again.model.graph_passes:
        materialise(again.model, data, tmp_path / "again.onnx")
        first, second = (
            graph_scores(g, data, 5, 10) for g in (graphs[name], tmp_path / "again.onnx")
        )
        np.testing.assert_array_equal(first, second)


@passes
def test_saved_and_read_again(
    name: str, made: dict[str, Outcome], data: CompressionData, tmp_path: Path
) -> None:
    model = made[name].model
    save_model(model, tmp_path)
    found = load_model(tmp_path)
    assert same_weights(found, model)
    assert found.graph_passes == model.graph_passes
    assert found.saved.settings == model.saved.settings
    torch.testing.assert_close(
        torch_scores(found, data, 5, 10), torch_scores(model, data, 5, 10), rtol=0, atol=0
    )


@passes
def test_nothing_is_pickled(
    name: str, made: dict[str, Outcome], graphs: dict[str, Path], tmp_path: Path
) -> None:
    save_model(made[name].model, tmp_path)
    (tmp_path / "model.onnx").write_bytes(graphs[name].read_bytes())
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} == {".safetensors", ".json", ".onnx"}
    for path in written:
        assert not zipfile.is_zipfile(path)
        # First bytes alone would not do: the length that safetensors begin with may be 0x80 too.
        with pytest.raises(ValueError, match=r"opcode|pickle"):
            list(pickletools.genops(path.read_bytes()))


@passes
def test_integers_stay_in_range(
    name: str, made: dict[str, Outcome], graphs: dict[str, Path]
) -> None:
    for module in made[name].model.ranker.modules():
        if isinstance(module, RowInt8Embedding):
            _check_integers(module.values.numpy())
            _check_scales(module.scale.numpy())
    proto = onnx.load(str(graphs[name])).graph
    weights = {t.name: numpy_helper.to_array(t) for t in proto.initializer}
    found = [w for w in weights.values() if w.dtype == np.int8 and w.ndim >= 2]
    for weight in found:
        _check_integers(weight)
    for node in proto.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[1] in weights:
            _check_scales(weights[node.input[1]])
    if name in ("quantise_static", "quantise_dynamic", "quantise_items"):
        assert found


def _check_integers(values: NDArray[Any]) -> None:
    assert values.dtype == np.int8
    assert values.min() >= -127  # Symmetric: -128 would have no counterpart.


def _check_scales(scales: NDArray[Any]) -> None:
    assert (scales > 0).all()
    assert np.isfinite(scales).all()


@pytest.mark.parametrize(("first", "second"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_any_pass_after_any_other(
    first: str, second: str, made: dict[str, Outcome], data: CompressionData, tmp_path: Path
) -> None:
    before = made[first].model
    kept = copy.deepcopy(before)
    try:
        after = run(before, SMALL[second], data, tmp_path / "work").model
    except DoesNotApply:
        after = before
    assert same_weights(before, kept), "the model that came in has changed"
    assert before.graph_passes == kept.graph_passes
    assert not before.ranker.training
    assert after.graph_passes[: len(kept.graph_passes)] == kept.graph_passes
    scores = torch_scores(after, data, 5, 10)
    assert scores.shape == (5, 10)
    assert scores.isfinite().all()
    (tmp_path / "saved").mkdir()
    save_model(after, tmp_path / "saved")
    assert same_weights(load_model(tmp_path / "saved"), after)
