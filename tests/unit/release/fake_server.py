"""A server that loads what it is told, with nothing behind it; and releases without content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ensembles.errors import ServerError
from ensembles.profiles import Knobs
from ensembles.recommend import chains, step_names
from ensembles.record import RECORD
from ensembles.render import write_configs
from serving.manifest import write_manifest
from serving.release.configs import configs_of
from serving.release.control import Control
from serving.release.rollout import Rollout
from serving.version_folders import configs_folder, make_current

CHAINS = chains(lookup=False, visual=False)
STEPS = step_names(CHAINS)


def add_release(repository: Path, release: int) -> None:
    """Folders and configurations of a release that is not current."""
    for model in (*STEPS, "recommend"):
        (repository / model / str(release)).mkdir(parents=True)
        (repository / model / str(release) / "content").write_text(model)
    write_configs(configs_folder(repository, release), CHAINS, release, Knobs(fuse_steps=False))
    write_manifest(repository, release, {})


def make_repository(folder: Path, count: int = 2) -> Path:
    """Releases from 1 on; the first one is current."""
    repository = folder / "repository"
    for release in range(1, count + 1):
        add_release(repository, release)
    make_current(repository, 1)
    return repository


class FakeServer(Control):
    """Serves the current release.

    Attributes:
        refused: models that do not load.
        calls: what was loaded (+) and unloaded (-), in order.
        down: whether nothing is answered any more.
    """

    def __init__(self, repository: Path, address: str = "127.0.0.1:1") -> None:
        super().__init__(address, "token")
        self.repository = repository
        self.models: dict[str, dict[str, Any]] = {}
        self.refused: set[str] = set()
        self.calls: list[str] = []
        self.down = False
        self.load("recommend")

    def load(
        self,
        model: str,
        config: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self._answer()
        self.calls.append(f"+{model}")
        if model in self.refused:
            raise ServerError(f"{model} does not load")
        if config is None and model in (*STEPS, RECORD.name):
            config = {"name": model}
        self.models[model] = dict(config or self._from_disk(model))

    def unload(self, model: str) -> None:
        self._answer()
        self.calls.append(f"-{model}")
        self.models.pop(model, None)

    def config(self, model: str) -> dict[str, Any] | None:
        self._answer()
        return self.models.get(model)

    def versions(self, model: str) -> list[int]:
        self._answer()
        return [1]

    def _from_disk(self, model: str) -> dict[str, Any]:
        # The configuration in the repository is one of those that releases keep.
        text = (self.repository / model / "config.pbtxt").read_text()
        for folder in sorted((self.repository / model).glob("[0-9]*")):
            release = int(folder.name)
            kept = configs_folder(self.repository, release) / model / "config.pbtxt"
            if kept.read_text() == text:
                return configs_of(self.repository, release, "cpu")[model]
        raise AssertionError(f"a configuration of no release: {text}")

    def _answer(self) -> None:
        if self.down:
            raise ServerError("nobody answers")


def rollout_of(server: FakeServer) -> Rollout:
    return Rollout(server.repository, server)
