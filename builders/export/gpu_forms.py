"""The three graphs that the gpu profile chooses from, made from one ranker."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path

from torch import nn

from builders.compress.graph import APPLY, materialise
from builders.compress.interface import CompressionData, Model
from builders.compress.quantisable import kept_in_float, layers
from builders.compress.settings import GraphPass, HalfPrecision, QuantiseStatic
from builders.export.item_lookup import outgrows, table_of
from builders.ranker.compact import RowInt8Embedding, replace_module
from builders.ranker.interface import Ranker
from serving.engine.record import GRAPH

FLOAT32, FP16, INT8 = "float32", "fp16", "int8_qdq"


def gpu_forms(model: Model, data: CompressionData, work: Path) -> dict[str, Path]:
    """Write each graph into a folder of its own; passes over the model's own graph are left out.

    INT8 is missing where the ranker has nothing that could be quantised.

    Raises:
        BuildError: the ranker cannot be exported, or a graph pass fails.
        VerificationError: the float32 graph differs from PyTorch.
    """
    quantisation = quantisation_of(model)
    passes: dict[str, GraphPass] = {FP16: HalfPrecision(), INT8: quantisation}
    made = {name: work / name / GRAPH for name in (FLOAT32, *passes)}
    for graph in made.values():
        graph.parent.mkdir()
    _write_float(model, data, made[FLOAT32])
    if not _quantisable(made[FLOAT32], quantisation):
        data.log(f"{INT8}: the ranker has no matrix product that could be quantised")
        del passes[INT8], made[INT8]
    for name, settings in passes.items():
        APPLY[settings.kind](settings, made[FLOAT32], made[name], data)
        if table_of(made[FLOAT32]).is_file():
            os.link(table_of(made[FLOAT32]), table_of(made[name]))
    return made


def quantisation_of(model: Model) -> QuantiseStatic:
    """As for the cpu profile, so that layers that were found sensitive stay in float here too."""
    for settings in model.graph_passes:
        if isinstance(settings, QuantiseStatic):
            return settings
    kept = {name for s in model.graph_passes for name in getattr(s, "keep_float", ())}
    return QuantiseStatic(keep_float=tuple(sorted(kept)))


def with_float_tables(ranker: Ranker) -> Ranker:
    """The same numbers with tables of 8-bit integers written out, float [N, D].

    TensorRT takes integers right before a DQ node only, and refuses to look up rows of them.
    """
    found = copy.deepcopy(ranker)
    for path, module in list(found.named_modules()):
        if isinstance(module, RowInt8Embedding):
            table = nn.Embedding(*module.values.shape)
            table.weight.data.copy_(module.weight)
            replace_module(found, path, table)
    return found.eval()


def _write_float(model: Model, data: CompressionData, target: Path) -> None:
    plain = replace(model.with_ranker(with_float_tables(model.ranker)), graph_passes=())
    export = data.settings.export
    if outgrows(plain.ranker, export) and not outgrows(model.ranker, export):
        # Both profiles have the same inputs: a table that the cpu profile's graph holds as
        # integers stays in this graph too, however large it is written out.
        export = export.model_copy(update={"max_item_table_mb": float("inf")})
        data = replace(data, settings=data.settings.model_copy(update={"export": export}))
    materialise(plain, data, target)


def _quantisable(graph: Path, settings: QuantiseStatic) -> bool:
    import onnx

    found = layers(onnx.load(graph))
    return len(found) > len(kept_in_float(found, settings.keep_float))
