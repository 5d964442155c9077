"""The TensorRT that builds engines here: ``tensorrt``, or ``tensorrt_rtx`` where no GPU is."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ensembles.errors import BuildError, MissingExtra, ServerError
from serving.engine.device import Gpu

TENSORRT = "tensorrt"
"""Needs the GPU that the engine is for; the only one whose engines Triton loads."""
TENSORRT_RTX = "tensorrt_rtx"
"""Builds ahead of time on any machine, for a compute capability."""


@dataclass(frozen=True)
class Library:
    """One of the two libraries, which have the same interface.

    Attributes:
        module: the library itself.
        name: ``tensorrt`` or ``tensorrt_rtx``.
        gpu: the GPU of this machine, if there is one.
    """

    module: Any
    name: str
    gpu: Gpu | None

    @property
    def version(self) -> str:
        """Version of the library; an engine fits exactly this one."""
        return str(self.module.__version__)

    def capability(self, wanted: str) -> str:
        """The compute capability that engines are built for.

        ``tensorrt`` builds for the GPU here, ``tensorrt_rtx`` for the one that is wanted.

        Raises:
            BuildError: the library cannot build for it.
        """
        if self.name == TENSORRT:
            assert self.gpu is not None
            return self.gpu.capability
        names = vars(self.module.ComputeCapability)
        known = [f"{n[2:-1]}.{n[-1]}" for n in names if n[:2] == "SM" and n[2:].isdigit()]
        if wanted not in known:
            raise BuildError(
                f"{self.name} {self.version} builds for the compute capabilities "
                f"{', '.join(known)}, not for {wanted!r}; change export.compute_capability"
            )
        return wanted


def find_library(gpu: Gpu | None) -> Library:
    """The first that imports, ``tensorrt`` only beside a GPU: it cannot build without one.

    Raises:
        MissingExtra: neither is there; names the line that installs one.
    """
    for name in [TENSORRT, TENSORRT_RTX] if gpu else [TENSORRT_RTX]:
        if (module := _imported(name)) is not None:
            return Library(module, name, gpu)
    raise MissingExtra("TensorRT (tensorrt beside a GPU, tensorrt-rtx anywhere)", "tensorrt")


def triton_library(gpu: Gpu | None) -> Library:
    """The library whose engines Triton loads.

    Raises:
        ServerError: there is no GPU, or ``tensorrt`` is not installed.
    """
    if gpu is None:
        raise ServerError(
            "the gpu profile needs a GPU and its driver, and none was found here; "
            "serve with --profile cpu, or give the container a GPU"
        )
    if (module := _imported(TENSORRT)) is None:
        raise ServerError(
            "the gpu profile needs the Python package tensorrt, in the version of Triton's "
            "tensorrt backend, to check engines and to build them; install it with pip"
        )
    return Library(module, TENSORRT, gpu)


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
