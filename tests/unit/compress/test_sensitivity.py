"""Layers one by one: what each costs alone, measured by the kernels that are served."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from builders.compress import sensitivity
from builders.compress.interface import CompressionData, DoesNotApply, Model
from builders.compress.quantisable import kept_in_float, layers
from builders.compress.quantise_static import quantise_static, quantise_statically
from builders.compress.sensitivity import layer_losses, switchable
from builders.compress.settings import QuantiseStatic
from builders.export.item_lookup import export_ranker
from builders.export.verify import feed_of, open_session
from builders.ranker.interface import Ranker
from ensembles.contracts import LOGIT
from tests.unit.compress.quantised_graph import LAYERS, applied, scores

EXACT = QuantiseStatic(percentile=100)
SPOILED = "blocks.1.narrow"


@pytest.fixture(scope="module")
def quantised(
    trained: CompressionData, teacher_graph: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    target = tmp_path_factory.mktemp("quantised") / "all.onnx"
    quantise_statically(EXACT, teacher_graph, target, trained)
    return target


@pytest.fixture(scope="module")
def spoiled(trained: CompressionData) -> Ranker:
    """The teacher with one layer that matters and that integers cannot hold.

    Its first input, which its weights do not read, is enormous, so that all others become 0.
    The head, which knows the order by itself, is left out.
    """
    ranker = copy.deepcopy(trained.teacher.ranker)
    ranker.head = None
    block = ranker.get_submodule("blocks.1")
    with torch.no_grad():
        block.get_parameter("widen.bias")[0] = 1e6
        block.get_parameter("narrow.weight").mul_(50)[:, 0] = 0
    return ranker


@pytest.fixture(scope="module")
def spoiled_graph(
    trained: CompressionData, spoiled: Ranker, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("spoiled")
    return export_ranker(spoiled, trained.teacher.history, folder, trained.settings.export)


@pytest.fixture
def spoiled_once(spoiled_graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity, "export_ranker", lambda *_: spoiled_graph)


def test_the_switch_chooses_one_layer(
    data: CompressionData, teacher_graph: Path, quantised: Path, tmp_path: Path
) -> None:
    both = tmp_path / "both.onnx"
    onnx.save(switchable(onnx.load(teacher_graph), onnx.load(quantised), LAYERS), both)
    session, rows = open_session(both), data.validation
    part = np.arange(len(rows.history))

    def chosen(number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        feed = {**feed_of(session, rows, part), "quantised_layer": np.array(number, np.int64)}
        (found,) = session.run([LOGIT.name], feed)
        return np.asarray(found, np.float32)

    np.testing.assert_allclose(chosen(-1), scores(teacher_graph, rows), atol=1e-5)
    for number in (0, 7, 14):
        others = tuple(name for name in LAYERS if name != LAYERS[number])
        alone = tmp_path / "alone.onnx"
        quantise_statically(
            EXACT.model_copy(update={"keep_float": others}), teacher_graph, alone, data
        )
        np.testing.assert_allclose(chosen(number), scores(alone, rows), atol=1e-5)
        assert np.abs(chosen(number) - chosen(-1)).max() > 1e-5


def test_layers_that_integers_can_hold_cost_little(
    data: CompressionData, teacher_graph: Path, quantised: Path
) -> None:
    losses = layer_losses(teacher_graph, quantised, LAYERS, data, alone=False)
    assert list(losses) == LAYERS
    assert all(-1e-12 <= loss < 0.02 for loss in losses.values())
    assert losses == layer_losses(teacher_graph, quantised, LAYERS, data, alone=False)
    alone = layer_losses(teacher_graph, quantised, LAYERS, data, alone=True)
    np.testing.assert_allclose(list(alone.values()), list(losses.values()), atol=1e-2)


def test_a_graph_that_nothing_changed_costs_nothing(
    data: CompressionData, teacher_graph: Path
) -> None:
    losses = layer_losses(teacher_graph, teacher_graph, LAYERS[:2], data, alone=False)
    np.testing.assert_allclose(list(losses.values()), 0, atol=1e-12)


@pytest.mark.usefixtures("spoiled_once")
def test_a_layer_that_integers_cannot_hold_stays_in_float(
    data: CompressionData, teacher: Model, spoiled: Ranker, spoiled_graph: Path, tmp_path: Path
) -> None:
    settings = EXACT.model_copy(update={"sensitivity": 0.01})
    outcome = quantise_static(teacher.with_ranker(spoiled), settings, data)
    assert max(outcome.layers, key=lambda name: outcome.layers[name]) == SPOILED
    (chosen,) = outcome.model.graph_passes
    assert isinstance(chosen, QuantiseStatic)
    assert chosen.keep_float == (SPOILED,)
    assert outcome.summary == f"14 of 15 layers in INT8; too sensitive: {SPOILED}"
    kept = applied(outcome.model, spoiled_graph, data, tmp_path / "kept.onnx")
    broken = tmp_path / "broken.onnx"
    quantise_statically(EXACT, spoiled_graph, broken, data)
    exact, left, lost = (scores(p, data.validation) for p in (spoiled_graph, kept, broken))
    assert np.abs(left - exact).max() < 0.2 * np.abs(lost - exact).max()


@pytest.mark.usefixtures("spoiled_once")
def test_nothing_is_left_to_quantise(
    data: CompressionData, teacher: Model, spoiled: Ranker
) -> None:
    others = tuple(name for name in LAYERS if name != SPOILED)
    settings = EXACT.model_copy(update={"sensitivity": 0.0, "keep_float": others})
    with pytest.raises(DoesNotApply, match="every layer alone loses more than sensitivity = 0 "):
        quantise_static(teacher.with_ranker(spoiled), settings, data)


def test_a_module_is_named_with_all_its_parts() -> None:
    names = ["blocks.1.query", "blocks.1.query#2", "blocks.10.query", "blocks.1.query.up"]
    assert kept_in_float(names, ["blocks.1"]) == {n for n in names if "10" not in n}
    assert kept_in_float(names, ["blocks.1.query"]) == {n for n in names if "10" not in n}
    assert kept_in_float(names, ["blocks.1.que"]) == set()


def test_two_products_of_one_module_have_two_names(teacher_graph: Path) -> None:
    model = onnx.load(teacher_graph)
    first = next(iter(layers(model).values()))
    again = onnx.NodeProto()
    again.CopyFrom(first)
    again.output[0] = "again"
    model.graph.node.append(again)
    assert list(layers(model)) == [*LAYERS, "blocks.0.query#2"]
