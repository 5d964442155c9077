"""Finds tritonserver and lays out its backend folder.

A native server on ``PATH`` (the container) is used as it is. Otherwise the wheel
``nvidia-pytriton`` is searched, without importing it: it carries the server, but its Python
backend needs the stub of the running Python beside it and that Python's shared library.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from ensembles.errors import MissingExtra, ServerError

_STUB = "triton_python_backend_stub"


@dataclass(frozen=True)
class Installation:
    """A tritonserver that can be started.

    Attributes:
        executable: the server.
        backends: its backend folder; None where the server's own default is right.
        caches: its folder of response caches, likewise.
        libraries: folders that its shared libraries are found in, first come first.
    """

    executable: Path
    backends: Path | None = None
    caches: Path | None = None
    libraries: tuple[Path, ...] = ()

    def environment(self) -> dict[str, str]:
        """The environment to start it in.

        The stub finds Python packages through the first ``python`` on ``PATH``, so the running
        one comes first. Numeric libraries get one thread a process: the steps are processes
        already, and threads that spin take the cores from one another.
        """
        variables = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            variables.setdefault(name, "1")
        if self.libraries:
            inherited = variables.get("LD_LIBRARY_PATH", "")
            folders = [*map(str, self.libraries), *inherited.split(":")]
            variables["LD_LIBRARY_PATH"] = ":".join(f for f in folders if f)
            variables["PATH"] = f"{Path(sys.executable).parent}:{variables.get('PATH', os.defpath)}"
        return variables


def find_installation(staging: Path) -> Installation:
    """Tritonserver on ``PATH``, else out of the wheel, staged in the folder ``staging``.

    Raises:
        MissingExtra: neither is there.
        ServerError: the wheel lacks a stub for this Python, or this Python has no shared library.
    """
    native = shutil.which("tritonserver")
    if native:
        return Installation(Path(native))
    spec = importlib.util.find_spec("pytriton")
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if not locations:
        raise MissingExtra("nvidia-pytriton (it carries tritonserver)", "serve")
    package = Path(locations[0])
    return Installation(
        package / "tritonserver/bin/tritonserver",
        _stage_backends(package / "tritonserver", staging / "backends"),
        package / "tritonserver/caches",
        (package.parent / "nvidia_pytriton.libs", find_libpython().parent),
    )


def _stage_backends(root: Path, target: Path) -> Path:
    """Link the wheel's Python backend and the stub of the running Python into one folder."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / version / _STUB
    if not stub.is_file():
        there = sorted(p.name for p in (root / "python_backend_stubs").glob("3.*"))
        raise ServerError(
            f"tritonserver's Python backend has no stub for Python {version}, only for "
            f"{', '.join(there) or 'none'}; create the virtual environment with one of these"
        )
    folder = target / "python"
    folder.mkdir(parents=True)
    for source in [stub, *(p for p in (root / "backends/python").iterdir() if p.is_file())]:
        (folder / source.name).symlink_to(source)
    return target


def find_libpython() -> Path:
    """The shared library of the running Python; the stub embeds it.

    Raises:
        ServerError: there is none; the message names the Debian package.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = f"libpython{version}.so.1.0"
    folders = [
        sysconfig.get_config_var("LIBDIR"),
        f"{sys.base_prefix}/lib",
        f"{sys.base_prefix}/lib/{sysconfig.get_config_var('MULTIARCH')}",
    ]
    for folder in folders:
        if folder and (Path(folder) / name).exists():
            return Path(folder) / name
    raise ServerError(
        f"{name} is needed by tritonserver's Python backend and not in "
        f"{' or '.join(str(f) for f in folders if f)}; on Debian or Ubuntu run "
        f"'apt-get install libpython{version}'"
    )
