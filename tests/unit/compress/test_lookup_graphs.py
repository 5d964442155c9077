"""Graph passes work on a graph whose item table lies beside it, and the scores stay the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from builders.compress.gates import graph_logits
from builders.compress.graph import materialise
from builders.compress.interface import CompressionData, Model
from builders.compress.settings import GraphPass, HalfPrecision, QuantiseStatic
from builders.export.item_lookup import table_of

PASSES: dict[str, tuple[GraphPass, ...]] = {
    "static": (QuantiseStatic(sensitivity=1),),
    "half": (HalfPrecision(),),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PASSES)
def test_passes_over_a_graph_without_its_table(name: str, data: CompressionData) -> None:
    model = Model(data.teacher, PASSES[name])
    export = data.settings.export.model_copy(update={"max_item_table_mb": 0.0})
    outgrown = replace(data, settings=data.settings.model_copy(update={"export": export}))
    found = {}
    for place, chosen in (("in.onnx", data), ("beside.onnx", outgrown)):
        graph = data.work / place
        materialise(model, chosen, graph)
        assert table_of(graph).is_file() is (chosen is outgrown)
        found[place] = graph_logits(graph, data.validation)
    np.testing.assert_allclose(found["beside.onnx"], found["in.onnx"], atol=0.05)
