"""The release that is tuned, and servers of it with other settings."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ensembles.fuse import FUSED
from ensembles.pipeline import Pipeline
from ensembles.profiles import Knobs
from ensembles.recommend import IMAGE_ENCODER
from ensembles.render import write_configs
from loadtest.tune.space import Values
from serving.ports import Ports
from serving.server import ServerOptions, TritonServer
from serving.version_folders import link_release, models_of

_COPY = ".tuning-"


@dataclass(frozen=True)
class Subject:
    """A release as it is configured.

    Attributes:
        pipelines: its ensembles, before steps are joined.
        knobs: its settings; what trials are held against at first.
    """

    repository: Path
    release: int
    pipelines: tuple[Pipeline, ...]
    knobs: Knobs

    @property
    def fused(self) -> bool:
        """Whether it has the joined model, too."""
        return FUSED in models_of(self.repository, self.release)

    @property
    def takes_pictures(self) -> bool:
        """Whether a request may carry one."""
        return IMAGE_ENCODER.name in models_of(self.repository, self.release)

    @contextmanager
    def served(self, values: Values) -> Iterator[TritonServer]:
        """A server of a temporary copy, with ``values`` instead of the release's own.

        The copy is made of hard links and stands beside the repository, so that the relative
        address of the user state holds; the repository itself is not touched.
        """
        repository = self.repository.resolve()
        knobs = replace(self.knobs, **values)
        models = [m for m in models_of(repository, self.release) if m != FUSED or knobs.fuse_steps]
        prefix = f"{_COPY}{os.getpid()}-"
        with tempfile.TemporaryDirectory(dir=repository.parent, prefix=prefix) as folder:
            copy = Path(folder)
            link_release(repository, self.release, copy, self.release, models)
            write_configs(copy, self.pipelines, self.release, knobs)
            with TritonServer(copy, ServerOptions(ports=Ports(0, 0, 0))) as server:
                yield server

    def remove_left_copies(self) -> None:
        """Remove what a killed search left beside the repository."""
        import psutil

        for left in self.repository.resolve().parent.glob(f"{_COPY}*"):
            owner = left.name.removeprefix(_COPY).split("-")[0]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(left, ignore_errors=True)
