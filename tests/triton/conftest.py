"""The real server, started once, on a release that is made here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ensembles.profiles import Knobs
from ensembles.step_code import load_step
from serving.manifest import write_manifest
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from tests.triton.tiny import Tiny, make_release

FREE = Ports(0, 0, 0)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A complete release, version 3."""
    release = make_release(tmp_path_factory.mktemp("tiny"), release=3)
    write_manifest(release.repository, 3, {"command": "by hand"})
    return release


@pytest.fixture(scope="session")
def tables(tiny: Tiny) -> Any:
    """The tables of ``tiny``."""
    folder = tiny.repository / "features" / "3"
    return load_step(folder).Tables.load(folder / "tables")


@pytest.fixture(scope="session")
def server(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonServer]:
    """``tiny``, served."""
    log = tmp_path_factory.mktemp("log") / "server.log"
    with TritonServer(tiny.repository, ServerOptions(ports=FREE, log=log)) as running:
        yield running


@pytest.fixture
def copy_of_tiny(tmp_path: Path) -> Tiny:
    """A release of one's own, to be damaged."""
    return make_release(tmp_path, release=3, knobs=Knobs(instances=1))
