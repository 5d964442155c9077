"""The gpu profile of a release that cannot be written, as one mounted into a container.

The server is given a repository of links to the release. Only the version folders that hold an
engine are folders of its own, in which ``model.plan`` is a link to the published engine or to one
in a folder for engines. There each engine has a folder named after its graph, TensorRT and GPU,
so that releases, machines and servers share the folder; a lock lets one server build and the
others wait for it. A server that was killed while it built leaves its lock and no record, and an
engine without a record is never loaded.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from serving.engine.builder_log import Log
from serving.engine.device import find_gpu
from serving.engine.library import Library, triton_library
from serving.engine.ready import (
    ENGINES,
    engine_versions,
    fitting_engine,
    graph_of,
    name_of,
    writable,
)
from serving.engine.record import PLAN, describe
from serving.manifest import ENGINE_CACHE

_NOT_LINKED = {PLAN, ENGINE_CACHE, "__pycache__"}


@contextmanager
def with_engines(repository: Path, release: int, engines: Path, log: Log) -> Iterator[Path]:
    """A repository of links to ``repository``, with engines for this machine, as long as it lasts.

    Releases that come later are not in it. The user state beside the repository is beside it too.

    Args:
        engines: folder for engines; it is made where it is missing.

    Raises:
        ReleaseError: ``release`` has no graph for the gpu profile.
        ServerError: there is no GPU or no TensorRT, an engine cannot be built, or ``engines``
            cannot be written.
    """
    library, repository = triton_library(find_gpu()), repository.resolve()
    with TemporaryDirectory(prefix="millirank-repository-") as folder:
        linked = Path(folder, "repository")
        linked.mkdir()
        Path(folder, "state").symlink_to(repository.parent / "state")
        for model in (p for p in repository.iterdir() if p.is_dir()):
            _link_model(model, linked / model.name)
        for version in engine_versions(repository, release, log):
            plan = _keep_engine(version, engines, library, log) / PLAN
            (linked / version.relative_to(repository) / PLAN).symlink_to(plan)
        yield linked


def _link_model(model: Path, target: Path) -> None:
    """Link a model; of one with engines, the contents of its version folders one by one."""
    if model.name not in ENGINES:
        target.symlink_to(model)
        return
    target.mkdir()
    for path in model.iterdir():
        if not (path.name.isdigit() and path.is_dir()):
            (target / path.name).symlink_to(path)
            continue
        (target / path.name).mkdir()
        for file in (f for f in path.iterdir() if f.name not in _NOT_LINKED):
            (target / path.name / file.name).symlink_to(file)


def _keep_engine(version: Path, engines: Path, library: Library, log: Log) -> Path:
    """The folder of an engine that fits ``library``; built in ``engines`` if it must be."""
    name = engine_name(version, library)
    with writable(version, engines):
        engines.mkdir(parents=True, exist_ok=True)
        with (engines / f"{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log(f"{name_of(version)}: another server has its engine in hand; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            (engines / name).mkdir(exist_ok=True)
            folder = fitting_engine(version, engines / name, library, log)
    log(f"{name_of(version)}: engine of {library.name} {library.version} in {folder}")
    return folder.resolve()


def engine_name(version: Path, library: Library) -> str:
    """Folder of a version's engine: its graph, what builds it, and the GPU that it is for."""
    gpu = library.gpu.name if library.gpu else "any"
    words = [
        describe(graph_of(version))["sha256"][:16],
        *(library.name, library.version, library.capability(""), gpu),
    ]
    return "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", word) for word in words)
