"""Load the package of a step from a version folder, the same files that Triton runs.

There is one implementation of features and policy; builders reach it through this loader only.
"""

from __future__ import annotations

import importlib.util
import sys
from hashlib import blake2b
from pathlib import Path
from types import ModuleType

from ensembles.errors import ReleaseError


def load_step(version_folder: Path) -> ModuleType:
    """The ``*_step`` package beside ``model.py``, under a name of its own for each folder.

    Raises:
        ReleaseError: the folder holds no such package, or more than one.
    """
    packages = sorted(version_folder.glob("*_step/__init__.py"))
    if len(packages) != 1:
        raise ReleaseError(
            f"expected one '*_step' package in {version_folder}, found {len(packages)}; "
            "give the version folder of a step, such as model_repository/features/1"
        )
    init = packages[0].resolve()
    name = f"{init.parent.name}_{blake2b(bytes(init), digest_size=6).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, init, submodule_search_locations=[str(init.parent)]
    )
    if spec is None or spec.loader is None:
        raise ReleaseError(f"{init} cannot be imported as a Python package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
