"""Layers of an exported graph that can be quantised, by names that outlive an export."""

from __future__ import annotations

from collections.abc import Iterable

from onnx import ModelProto, NodeProto, TensorProto

from ensembles.errors import BuildError, did_you_mean

_HEAD = "head"
_NAMESPACE = "namespace"


def layers(model: ModelProto) -> dict[str, NodeProto]:
    """Matrix products with a weight, by layer name, in the order of the graph.

    A layer is named after its module in PyTorch, as ``blocks.0.query``, so that its name is the
    same in every export; a second product of one module is ``item.up#2``. Products of two
    activations (queries with keys, attention with values, candidates with the user) are left
    out: both sides would be rounded, and at these lengths they are a few per cent of the work.
    The hybrid head is left out too: its inputs have very different ranges, and it is tiny.
    """
    weights = {
        t.name
        for t in model.graph.initializer
        if len(t.dims) == 2 and t.data_type == TensorProto.FLOAT
    }
    found: dict[str, NodeProto] = {}
    for node in model.graph.node:
        if not _is_product(node) or node.input[1] not in weights or node.input[0] in weights:
            continue
        path = _module(node) or node.name
        if path.partition(".")[0] == _HEAD:
            continue
        same = sum(name.partition("#")[0] == path for name in found)
        found[f"{path}#{same + 1}" if same else path] = node
    return found


def kept_in_float(names: Iterable[str], keep_float: Iterable[str]) -> set[str]:
    """Those of ``names`` that ``keep_float`` names, themselves or the module they are part of."""
    kept = tuple(keep_float)
    return {
        name
        for name in names
        if any(name == path or name.startswith((f"{path}.", f"{path}#")) for path in kept)
    }


def check_names(names: Iterable[str], keep_float: Iterable[str]) -> None:
    """Refuse a name in the settings that no layer has.

    Raises:
        BuildError: naming it, and what is nearest.
    """
    known = tuple(names)
    for path in keep_float:
        if not kept_in_float(known, [path]):
            raise BuildError(
                f"keep_float names {path!r}, which is no layer of this ranker."
                f"{did_you_mean(path, known)}"
            )


def _is_product(node: NodeProto) -> bool:
    if node.op_type == "MatMul":
        return True
    plain = {"transA": 0, "alpha": 1.0, "beta": 1.0}
    return node.op_type == "Gemm" and all(
        (a.f if a.name in ("alpha", "beta") else a.i) == plain[a.name]
        for a in node.attribute
        if a.name in plain
    )


def _module(node: NodeProto) -> str:
    """Path of the PyTorch module that a node was exported from; empty where it is not known."""
    for entry in node.metadata_props:
        if entry.key == _NAMESPACE:
            # Path and class of each module from the outermost in, then the operator itself.
            modules = entry.value.split("/")[:-1]
            return modules[-1].partition(":")[0].strip() if modules else ""
    return ""
