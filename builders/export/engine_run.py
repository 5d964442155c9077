"""Runs an engine on a GPU, through PyTorch's memory and streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ensembles.errors import BuildError
from serving.engine.library import Library


class RunningEngine:
    """An engine with one execution context, in the engine's first optimisation profile."""

    def __init__(self, library: Library, plan: Path) -> None:
        """Load ``plan``.

        Raises:
            BuildError: it is not for this GPU or this version of the library.
        """
        trt = library.module
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan.read_bytes())
        if self._engine is None:
            raise BuildError(
                f"{library.name} {library.version} cannot load {plan} on this GPU; build it again"
            )
        names = {self._engine.get_tensor_name(n) for n in range(self._engine.num_io_tensors)}
        self._inputs = {
            name for name in names if self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        }
        (self._output,) = names - self._inputs
        self._context = self._engine.create_execution_context()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def inspect(self, library: Library) -> list[str]:
        """One line for each layer, from the engine inspector."""
        inspector, form = self._engine.create_engine_inspector(), library.module
        inspector.execution_context = self._context
        return [
            str(inspector.get_layer_information(n, form.LayerInformationFormat.ONELINE)).strip()
            for n in range(self._engine.num_layers)
        ]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """The only output, float32 [B, ...]; copies to the GPU and back included.

        Raises:
            BuildError: the engine refuses the shapes, or fails.
        """
        context = self._context
        held = {
            name: torch.from_numpy(np.ascontiguousarray(array)).cuda()
            for name, array in feed.items()
            if name in self._inputs
        }
        for name, tensor in held.items():
            if not context.set_input_shape(name, tuple(tensor.shape)):
                raise BuildError(f"the engine refuses {name} of shape {tuple(tensor.shape)}")
            context.set_tensor_address(name, tensor.data_ptr())
        shape = tuple(context.get_tensor_shape(self._output))
        result = torch.empty(shape, dtype=torch.float32, device="cuda")
        context.set_tensor_address(self._output, result.data_ptr())
        torch.cuda.current_stream().synchronize()  # The copies ran there.
        if not context.execute_async_v3(self._stream.cuda_stream):
            raise BuildError("the engine failed to run; see the messages above")
        self._stream.synchronize()
        found: NDArray[np.float32] = result.cpu().numpy()
        return found
