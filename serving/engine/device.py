"""The GPU of this machine, asked of the driver itself: serving has no torch."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""


@dataclass(frozen=True)
class Gpu:
    """The first GPU.

    Attributes:
        name: as the driver calls it.
        capability: compute capability, as ``8.6``.
    """

    name: str
    capability: str


def find_gpu(driver: str = "libcuda.so.1") -> Gpu | None:
    """The first GPU, or None where there is no driver or no GPU."""
    try:
        return _first(ctypes.CDLL(driver))
    except (OSError, AttributeError):  # no such file, or no driver
        return None


def _first(cuda: ctypes.CDLL) -> Gpu | None:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    failed = (
        cuda.cuInit(0)
        or cuda.cuDeviceGet(ctypes.byref(device), 0)
        or cuda.cuDeviceGetName(name, len(name), device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        or cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
    )
    return None if failed else Gpu(name.value.decode(), f"{major.value}.{minor.value}")
