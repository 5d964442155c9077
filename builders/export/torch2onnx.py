"""From a PyTorch ranker, or another module, to one ONNX file with free batch and lengths."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from builders.ranker.interface import Ranker
from builders.settings import Export
from ensembles.contracts import (
    CANDIDATE,
    CANDIDATE_FEATURES,
    CANDIDATE_FEATURES_WIDTH,
    HISTORY,
    LOGIT,
    MAX_BATCH,
)
from ensembles.errors import BuildError

MODEL = "model.onnx"


def export(ranker: Ranker, history: int, folder: Path, settings: Export) -> Path:
    """Write ``model.onnx`` into ``folder``: history, candidate, candidate_features → logit.

    Batch and candidate count are free, the history's length is ``history``.

    Raises:
        BuildError: PyTorch cannot export the ranker.
    """
    ranker.eval()
    return export_graph(ranker, example(history), {}, folder / MODEL, settings)


def export_graph(
    ranker: nn.Module,
    inputs: tuple[Tensor, Tensor, Tensor],
    vectors: dict[str, Tensor],
    target: Path,
    settings: Export,
) -> Path:
    """Write one ONNX file.

    Args:
        ranker: in evaluation mode; a ranker, or one that takes ``vectors`` too.
        inputs: as ``example`` gives them.
        vectors: further inputs by name, of histories and of candidates.

    Raises:
        BuildError: PyTorch cannot export the ranker.
    """
    batch = torch.export.Dim("batch", min=1, max=MAX_BATCH)
    count = torch.export.Dim("candidates", min=1)
    shapes = ({0: batch}, {0: batch, 1: count}, {0: batch, 1: count})
    names = [HISTORY.name, CANDIDATE.name, CANDIDATE_FEATURES.name]
    taken = {**dict(zip(names, inputs, strict=True)), **vectors}
    free = (*shapes, *shapes[: len(vectors)])
    write_graph(ranker, taken, free, (LOGIT.name,), target, settings.opset)
    return target


def write_graph(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    free: Sequence[dict[int, Any]],
    outputs: Sequence[str],
    target: Path,
    opset: int,
) -> None:
    """Write any module in evaluation mode as one ONNX file.

    Args:
        inputs: examples of them by name, in the order of the module's arguments.
        free: of each input, its free axes as ``torch.export.Dim``.
        outputs: names of the results.

    Raises:
        BuildError: PyTorch cannot export the module.
    """
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                opset_version=opset,
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_shapes=tuple(free),
                external_data=False,
                verbose=False,
            )
            assert program is not None
            for node in program.model.graph.all_nodes():
                # Paths and source lines of the machine that exported it, in every node.
                node.metadata_props.pop("pkg.torch.onnx.stack_trace", None)
            program.save(str(target), external_data=False)
    except (torch.onnx.errors.OnnxExporterError, torch._dynamo.exc.TorchDynamoException) as e:
        raise BuildError(f"{type(module).__name__} cannot be exported to ONNX: {e}") from e


def example(history: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs of the exported model's types; no length is 1, which would be taken as fixed."""
    return (
        torch.zeros(2, history, dtype=torch.int32),
        torch.zeros(2, 3, dtype=torch.int32),
        torch.zeros(2, 3, CANDIDATE_FEATURES_WIDTH),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on standard output and its deprecation warnings."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
